package knative

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/platform/knative"
)

// The ranges of what a pool file says. Knative itself allows no other window, and
// no longer retention; its longest timeout the cluster's operator sets.
const (
	minMemory, maxMemory       = 128 << 20, 64 << 30
	minWindow, maxWindow       = 6 * time.Second, time.Hour
	minRetention, maxRetention = time.Second, time.Hour
	minTimeout, maxTimeout     = 15 * time.Second, time.Hour
	minStorage                 = 16 << 20
	minProxyMemory             = 128 << 20
)

// maxPrefix leaves room in a name of 63 characters for the node's number and for
// what Knative appends to names of revisions and their parts.
const maxPrefix = 40

// knativeNamespaces are where Knative and the gateways that come with it are
// installed.
var knativeNamespaces = []string{
	"knative-serving", "kourier-system", "istio-system", "contour-external", "contour-internal",
}

// fill gives defaults to what is not given.
func (p *Pool) fill() {
	p.Namespace = cmp.Or(p.Namespace, "default")
	p.Links = cmp.Or(p.Links, Direct)
	p.Keep = cmp.Or(p.Keep, Hold)
	if p.Keep == Retain {
		p.Retention = cmp.Or(p.Retention, metav1.Duration{Duration: 15 * time.Minute})
	}
	p.Window = cmp.Or(p.Window, metav1.Duration{Duration: time.Minute})
	p.Timeout = cmp.Or(p.Timeout, metav1.Duration{Duration: 5 * time.Minute})
	p.CPU = cmp.Or(p.CPU, "100m")
	p.Spread = cmp.Or(p.Spread, Preferred)
	p.Unavailable = cmp.Or(p.Unavailable, 1)
	p.ClusterDomain = cmp.Or(p.ClusterDomain, "cluster.local")
	p.Storage = cmp.Or(p.Storage, 1<<30)
	p.ProxyCPU = cmp.Or(p.ProxyCPU, "500m")
	p.ProxyMemory = cmp.Or(p.ProxyMemory, 512<<20)
	p.Clients = cmp.Or(p.Clients, InNamespace)
	if p.CloudRun != nil {
		p.CloudRun.Tokens = cmp.Or(p.CloudRun.Tokens, Metadata)
	}
	if len(p.SystemNamespaces) == 0 {
		p.SystemNamespaces = knativeNamespaces
	}
}

// complaints collects what is wrong with a pool file.
type complaints []error

func (c *complaints) add(ok bool, field, given, allowed string) {
	if !ok {
		*c = append(*c, fmt.Errorf("%s: %q given, %s allowed", field, given, allowed))
	}
}

func (c *complaints) choice(field, given string, options ...string) {
	c.add(slices.Contains(options, given), field, given, strings.Join(options, ", "))
}

func (c *complaints) duration(field string, d metav1.Duration, least, most time.Duration) {
	ok := d.Duration >= least && d.Duration <= most && d.Duration%time.Second == 0
	c.add(ok, field, d.Duration.String(), fmt.Sprintf("whole seconds from %v to %v", least, most))
}

func (c *complaints) size(field string, n bytesize.Bytes, least, most int64) {
	allowed := "at least " + bytesize.Format(least)
	if most > 0 {
		allowed = bytesize.Format(least) + " to " + bytesize.Format(most)
	}
	c.add(int64(n) >= least && (most == 0 || int64(n) <= most), field, n.String(), allowed)
}

func (c *complaints) cpu(field, given string) {
	q, err := resource.ParseQuantity(given)
	c.add(err == nil && q.Sign() > 0, field, given, "a number of processors like 1 or 250m")
}

func (c *complaints) name(field, given string) {
	c.add(len(validation.IsDNS1123Label(given)) == 0, field, given, "1 to 63 lower-case letters, digits and -")
}

var (
	prefixForm = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?-$`)
	imageForm  = regexp.MustCompile(`^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$`)
)

// faults returns every complaint about a pool whose defaults are filled in.
func (p *Pool) faults() []error {
	var c complaints
	c.choice("platform", p.Platform, Platform)
	c.add(len(p.Prefix) <= maxPrefix && prefixForm.MatchString(p.Prefix), "prefix", p.Prefix,
		fmt.Sprintf("at most %d lower-case letters, digits and -, with a letter first and one - last,", maxPrefix))
	c.add(p.Nodes >= 1 && p.Nodes <= ManyNodes, "nodes", fmt.Sprint(p.Nodes), fmt.Sprintf("1 to %d", ManyNodes))
	p.CheckShape(func(field, given, allowed string) { c.add(false, field, given, allowed) })
	c.size("memory", p.Memory, minMemory, maxMemory)
	c.name("namespace", p.Namespace)
	c.add(imageForm.MatchString(p.Image), "image", p.Image, "the name of the node's image, like registry.example/infinicache-node:v1,")
	c.add(p.CloudRun != nil && p.ProxyImage == "" || imageForm.MatchString(p.ProxyImage), "proxyImage", p.ProxyImage,
		"the name of the proxy's image, like registry.example/infinicache:v1,")
	c.choice("links", p.Links, Direct, Dial)
	c.choice("keep", p.Keep, Hold, Warm, Retain, MinScale)
	if p.Keep == Retain {
		c.duration("retention", p.Retention, minRetention, maxRetention)
	} else {
		c.add(p.Retention.Duration == 0, "retention", p.Retention.Duration.String(), "none but with keep: "+Retain)
	}
	c.duration("window", p.Window, minWindow, maxWindow)
	c.duration("timeout", p.Timeout, minTimeout, maxTimeout)
	c.cpu("cpu", p.CPU)
	c.choice("spread", p.Spread, Preferred, Required, None)
	c.add(p.Unavailable >= 1 && p.Unavailable <= max(p.Nodes, 1), "unavailable", fmt.Sprint(p.Unavailable), fmt.Sprintf("1 to the %d nodes", p.Nodes))
	switch {
	case p.Gateway == "":
	case p.Audience() == "" || !isGateway(p.Gateway):
		c.add(isGateway(p.Gateway), "gateway", p.Gateway, "http://HOST, http://HOST:PORT, or the same with https")
	default:
		c.add(knative.Confidential(p.Gateway), "gateway", p.Gateway, "https://HOST or http:// and a private address, with cloudRun.tokens: "+p.CloudRun.Tokens+",")
	}
	c.add(len(validation.IsDNS1123Subdomain(p.ClusterDomain)) == 0, "clusterDomain", p.ClusterDomain, "a domain like cluster.local")
	c.size("storage", p.Storage, minStorage, 0)
	c.add(p.StorageClass == "" || len(validation.IsDNS1123Subdomain(p.StorageClass)) == 0, "storageClass", p.StorageClass, "the name of a storage class")
	c.cpu("proxyCPU", p.ProxyCPU)
	c.size("proxyMemory", p.ProxyMemory, minProxyMemory, 0)
	for _, flag := range p.ProxyFlags {
		name, _, _ := strings.Cut(flag, "=")
		c.add(strings.HasPrefix(flag, "--") && !slices.Contains(deployedFlags, name), "proxyFlags", flag,
			"flags like --shape=4+2, but for those the deployment sets ("+strings.Join(deployedFlags, ", ")+"),")
	}
	c.choice("clients", p.Clients, InNamespace, Labelled, Everyone)
	for _, namespace := range p.SystemNamespaces {
		c.name("systemNamespaces", namespace)
	}
	if p.CloudRun != nil {
		c.choice("cloudRun.tokens", p.CloudRun.Tokens, Metadata, None)
	}
	for key, value := range sorted(p.Labels) {
		c.add(len(validation.IsQualifiedName(key)) == 0 && len(validation.IsValidLabelValue(value)) == 0 && !reserved(key),
			"labels", key+": "+value, "labels of Kubernetes that no one else sets")
	}
	return c
}

// reserved tells whether a label belongs to this package, Knative or Kubernetes.
func reserved(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	return found && (domain == labelDomain || domain == "app.kubernetes.io" ||
		domain == "knative.dev" || strings.HasSuffix(domain, ".knative.dev"))
}

func isGateway(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	if u.Port() != "" {
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return false
		}
	}
	return strings.Trim(u.Path, "/") == ""
}

package knative

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// CloudRunSettings are what only Cloud Run asks for. There the namespace of a pool
// is the project's id or number.
type CloudRunSettings struct {
	// Network and Subnetwork are of the VPC in which the proxy is, which the nodes
	// dial.
	Network    string `json:"network"`
	Subnetwork string `json:"subnetwork,omitempty"`
	// ServiceAccount is the e-mail address of the nodes' identity, which needs no
	// role; the project's default if empty.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Tokens is Metadata, the default: the proxy invokes nodes as the service account
	// of its machine, which needs the role roles/run.invoker on them. With None they
	// have to let everybody in.
	Tokens string `json:"tokens,omitempty"`
}

// Cloud Run's limits. With less than one processor it allows an instance one request
// at a time, and a session is renewed before the one before it ends. The second
// generation of its environment starts at 512 MiB.
const (
	cloudRunNotice      = 8 * time.Second // of the 10 s from SIGTERM on
	cloudRunConcurrency = 8
	minCloudRunMemory   = 512 << 20
	maxCloudRunMemory   = 32 << 30
)

// cloudRunMemory is the most memory that so many processors may have.
var cloudRunMemory = map[string]int64{"1": 4 << 30, "2": 8 << 30, "4": 16 << 30, "6": 24 << 30, "8": maxCloudRunMemory}

var projectForm = regexp.MustCompile(`^([a-z][-a-z0-9]{4,28}[a-z0-9]|[0-9]+)$`)

// labelForm is what Google Cloud allows as key or value of a label.
var labelForm = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)

// CloudRunServices are the services of the nodes as Cloud Run's Knative API takes them. The
// proxy is not among them: it needs a disk and an address, which a virtual machine or
// a cluster in the same VPC has. The error has every complaint about a pool that
// Cloud Run cannot run.
func (p *Pool) CloudRunServices() ([]*unstructured.Unstructured, error) {
	if err := errors.Join(p.cloudRunFaults()...); err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for node := range p.Nodes {
		all = append(all, p.cloudRunNode(node))
	}
	return all, nil
}

func (p *Pool) cloudRunFaults() []error {
	var c complaints
	if p.CloudRun == nil || p.CloudRun.Network == "" {
		c.add(false, "cloudRun.network", "", "the VPC network in which the proxy is")
	}
	c.add(projectForm.MatchString(p.Namespace) && p.Namespace != "default", "namespace", p.Namespace, "the id or number of a project")
	c.choice("links", p.Links, Dial)
	c.choice("keep", p.Keep, Hold, Warm, MinScale)
	c.choice("spread", p.Spread, None)
	c.add(!strings.HasPrefix(p.Image, "dev.local/"), "image", p.Image, "an image in Artifact Registry or Docker Hub")
	most, ok := cloudRunMemory[p.CPU]
	c.add(ok, "cpu", p.CPU, "1, 2, 4, 6, 8")
	if !ok {
		most = maxCloudRunMemory
	}
	c.size("memory", p.Memory, minCloudRunMemory, most)
	c.add(p.Memory%(1<<20) == 0, "memory", p.Memory.String(), "whole MiB")
	c.add(!p.StartAsleep, "startAsleep", "true", "false")
	for key, value := range sorted(p.Labels) {
		c.add(key != "" && labelForm.MatchString(key) && labelForm.MatchString(value), "labels", key+": "+value,
			"lower-case letters, digits, _ and -")
	}
	return c
}

// cloudRunNode is the service of a node. It says request-based billing: an instance
// has a processor only while a request is open, and is not charged otherwise.
func (p *Pool) cloudRunNode(node int) *unstructured.Unstructured {
	const run = "run.googleapis.com/"
	labels := m{}
	for key, value := range p.Labels {
		labels[key] = value
	}
	labels["infinicache-pool"] = p.ID()
	labels["infinicache-node"] = fmt.Sprint(node)
	annotations := m{
		"autoscaling.knative.dev/maxScale": "1",
		run + "cpu-throttling":             "true",
		run + "startup-cpu-boost":          "true",
		run + "execution-environment":      "gen2",
		run + "vpc-access-egress":          "private-ranges-only",
		run + "network-interfaces":         p.CloudRun.interfaces(),
	}
	if p.Keep == MinScale {
		annotations["autoscaling.knative.dev/minScale"] = "1"
	}
	spec := m{
		"containerConcurrency": cloudRunConcurrency,
		"timeoutSeconds":       int(p.Timeout.Seconds()),
		"containers": l{m{
			"image":        p.Image,
			"ports":        l{m{"name": "h2c", "containerPort": HTTPPort}},
			"env":          l{m{"name": noticeEnv, "value": p.Notice().String()}},
			"resources":    m{"limits": m{"cpu": p.CPU, "memory": cloudRunSize(p.Memory)}},
			"startupProbe": m{"httpGet": m{"path": "/healthz", "port": HTTPPort}, "periodSeconds": 1, "failureThreshold": 30},
		}},
	}
	service := m{run + "ingress": "internal"}
	if audience := p.Audience(); audience != "" {
		service[run+"custom-audiences"] = fmt.Sprintf(`[%q]`, audience)
	}
	if p.CloudRun.ServiceAccount != "" {
		spec["serviceAccountName"] = p.CloudRun.ServiceAccount
	}
	return object(m{
		"apiVersion": servingV1, "kind": "Service",
		"metadata": m{
			"name": p.NodeName(node), "namespace": p.Namespace, "labels": labels,
			"annotations": service,
		},
		"spec": m{"template": m{
			"metadata": m{"labels": labels, "annotations": annotations},
			"spec":     spec,
		}},
	})
}

// interfaces are the VPC to be in, as a text of JSON.
func (s *CloudRunSettings) interfaces() string {
	if s.Subnetwork == "" {
		return fmt.Sprintf(`[{"network":%q}]`, s.Network)
	}
	return fmt.Sprintf(`[{"network":%q,"subnetwork":%q}]`, s.Network, s.Subnetwork)
}

func cloudRunSize(n bytesize.Bytes) string { return fmt.Sprintf("%dMi", int64(n)>>20) }

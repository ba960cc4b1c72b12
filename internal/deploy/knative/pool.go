// Package knative deploys a pool to Knative: a Knative service for every node, and
// the proxy with all it needs.
//
// What a pool consists of is rendered from its pool file alone (Objects, CloudRunServices).
// A Deployer brings a cluster there by server-side apply, says before what it would
// change, and rolls over the nodes so that no stripe loses more than it can.
package knative

import (
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/infinicache/infinicache/internal/bytesize"
	"github.com/infinicache/infinicache/internal/deploy"
)

// Platform is the platform's name in a pool file.
const Platform = "knative"

// How links come to be.
const (
	Direct = "direct" // the proxy dials the node's pod
	Dial   = "dial"   // the node dials the proxy
)

// What keeps an idle node's pod, and so what the node holds.
const (
	Hold     = "hold"      // an open session
	Warm     = "warm"      // short sessions, each within the window of the one before
	Retain   = "retain"    // the autoscaler, which leaves an idle pod for a time
	MinScale = "min-scale" // the autoscaler, which never takes it
)

// Where the proxy has the identity tokens from that it sends; None for none.
const Metadata = "metadata" // the metadata server of its machine

// How nodes are spread over machines.
const (
	Preferred = "preferred" // as far as there is room
	Required  = "required"  // a pod that would unbalance them stays pending
	None      = "none"
)

// Who may connect to the proxy's client and Redis ports.
const (
	InNamespace = "namespace" // pods of the proxy's namespace
	Labelled    = "labelled"  // pods of any namespace with the label ClientLabel
	Everyone    = "all"
)

// Pool is a pool file for Knative. Decode fills in what is not given.
type Pool struct {
	deploy.Pool
	// Namespace is where everything is deployed: default; the project on Cloud Run.
	Namespace string `json:"namespace,omitempty"`
	// Image is of the node, ProxyImage of the proxy.
	Image      string `json:"image,omitempty"`
	ProxyImage string `json:"proxyImage,omitempty"`
	// Links is Direct, the default, or Dial.
	Links string `json:"links,omitempty"`
	// Keep is Hold, the default, Warm, Retain or MinScale.
	Keep string `json:"keep,omitempty"`
	// Retention is how long Retain leaves an idle pod: 15m.
	Retention metav1.Duration `json:"retention,omitzero"`
	// Window is over which the autoscaler averages; a pod without requests for so
	// long is taken: 60s.
	Window metav1.Duration `json:"window,omitzero"`
	// Timeout bounds a session, where the platform bounds it: 300s.
	Timeout metav1.Duration `json:"timeout,omitzero"`
	// CPU is what a node asks for: 100m.
	CPU string `json:"cpu,omitempty"`
	// Spread is Preferred, the default, Required or None.
	Spread string `json:"spread,omitempty"`
	// StartAsleep has a new revision start no pod before the node is woken. Then
	// the rollout does not see whether its image can run.
	StartAsleep bool `json:"startAsleep,omitempty"`
	// Unavailable is how many nodes may be away at once on purpose, when machines
	// are drained: 1. More than the parity chunks of a stripe loses objects.
	Unavailable int `json:"unavailable,omitempty"`
	// Gateway is the URL http://ADDR or https://HOST of the way in to all services,
	// which tells them apart by the Host header; empty where their own names resolve.
	// With tokens it is needed, and an address is of a private network.
	Gateway string `json:"gateway,omitempty"`
	// ClusterDomain ends the names of services: cluster.local.
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// Storage is the size of the proxy's volume, 1GiB, StorageClass its class; the
	// cluster's default if empty.
	Storage      bytesize.Bytes `json:"storage,omitempty"`
	StorageClass string         `json:"storageClass,omitempty"`
	// ProxyCPU is what the proxy asks for, 500m, and ProxyMemory what it has,
	// 512MiB.
	ProxyCPU    string         `json:"proxyCPU,omitempty"`
	ProxyMemory bytesize.Bytes `json:"proxyMemory,omitempty"`
	// ProxyFlags are more flags of the proxy, such as --shape=4+2.
	ProxyFlags []string `json:"proxyFlags,omitempty"`
	// Clients is InNamespace, the default, Labelled or Everyone.
	Clients string `json:"clients,omitempty"`
	// SystemNamespaces are those of Knative and its gateway, which may reach the
	// nodes' HTTP ports.
	SystemNamespaces []string `json:"systemNamespaces,omitempty"`
	// Labels are put on everything.
	Labels map[string]string `json:"labels,omitempty"`
	// CloudRun is for Cloud Run only.
	CloudRun *CloudRunSettings `json:"cloudRun,omitempty"`
}

// Decode reads a pool file, fills in defaults, and checks all of it: the error has
// every complaint.
func Decode(text []byte) (*Pool, error) {
	p := &Pool{}
	wrong, err := deploy.Decode(text, p, deploy.Plain)
	if err != nil {
		return nil, err
	}
	if len(wrong) > 0 {
		var all []error
		for _, fault := range wrong {
			all = append(all, fault)
		}
		return nil, errors.Join(all...)
	}
	p.fill()
	if err := errors.Join(p.faults()...); err != nil {
		return nil, err
	}
	return p, nil
}

// ManyNodes is how many nodes a pool may have.
const ManyNodes = 4096

// ID names the pool in labels: its prefix without the dash.
func (p *Pool) ID() string { return strings.TrimRight(p.Prefix, "-") }

// NodeName is the name of a node's service.
func (p *Pool) NodeName(node int) string { return fmt.Sprintf("%s%d", p.Prefix, node) }

// NodeHost is the host under which a node's service is reached within the cluster.
func (p *Pool) NodeHost(node int) string {
	return fmt.Sprintf("%s.%s.svc.%s", p.NodeName(node), p.Namespace, p.ClusterDomain)
}

// Audience is what the proxy's identity tokens are made out to, one for all nodes of the
// pool; empty if it sends none.
func (p *Pool) Audience() string {
	if p.CloudRun == nil || p.CloudRun.Tokens != Metadata {
		return ""
	}
	return fmt.Sprintf("https://%s.%s.svc.%s", p.ID(), p.Namespace, p.ClusterDomain)
}

// ProxyName is the name of the proxy's StatefulSet, and of its service for clients.
func (p *Pool) ProxyName() string { return p.Prefix + "proxy" }

// instancesName is the name of the service that lists the nodes' pods.
func (p *Pool) instancesName() string { return p.Prefix + "instances" }

// InstancesHost is a name for the addresses of all nodes' pods, where their
// queue-proxies take requests at InstancePort.
func (p *Pool) InstancesHost() string {
	return fmt.Sprintf("%s.%s.svc.%s", p.instancesName(), p.Namespace, p.ClusterDomain)
}

// linksName is the name of the proxy's service for links.
func (p *Pool) linksName() string { return p.Prefix + "links" }

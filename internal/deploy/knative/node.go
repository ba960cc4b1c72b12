package knative

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/activation"
)

const (
	servingGroup = "serving.knative.dev"
	servingV1    = servingGroup + "/v1"

	// HTTPPort is where a node serves, which Knative tells it as PORT.
	HTTPPort = 8080
	// LinkPort is where a node listens for links, where they are Direct.
	LinkPort = activation.LinkPort

	// noticeEnv tells a node how long it has from when it hears of its end.
	noticeEnv = "INFINICACHE_NOTICE"
)

// A pod that is to go has its streams cut after this time, or after the timeout if
// that is shorter.
const streamsCut = 30 * time.Second

// noticeMargin is what a node leaves of the time it has.
const noticeMargin = 5 * time.Second

// Notice is how long a node may take over its end.
func (p *Pool) Notice() time.Duration {
	if p.CloudRun != nil {
		return cloudRunNotice
	}
	return min(streamsCut, p.Timeout.Duration) - noticeMargin
}

// node is the Knative service of a node.
func (p *Pool) node(node int) *unstructured.Unstructured {
	labels := p.nodeLabels(node)
	labels["networking.knative.dev/visibility"] = "cluster-local"
	container := m{
		"name":  partNode,
		"image": p.Image,
		// The name has Knative speak HTTP/2 to it.
		"ports": l{m{"name": "h2c", "containerPort": HTTPPort}},
		"env":   l{m{"name": noticeEnv, "value": p.Notice().String()}},
		"resources": m{
			"requests": m{"cpu": p.CPU, "memory": quantity(p.Memory)},
			"limits":   m{"memory": quantity(p.Memory)},
		},
		"readinessProbe":  m{"httpGet": m{"path": "/healthz"}},
		"securityContext": confined(),
	}
	spec := m{
		"serviceAccountName":           p.accountName(partNode),
		"automountServiceAccountToken": false,
		"enableServiceLinks":           false,
		"containerConcurrency":         0,
		"timeoutSeconds":               int(p.Timeout.Seconds()),
		"containers":                   l{container},
	}
	if spread := p.spread(); spread != nil {
		spec["topologySpreadConstraints"] = spread
	}
	return object(m{
		"apiVersion": servingV1, "kind": "Service",
		"metadata": m{"name": p.NodeName(node), "namespace": p.Namespace, "labels": labels},
		"spec": m{"template": m{
			"metadata": m{"labels": p.nodeLabels(node), "annotations": p.scaling()},
			"spec":     spec,
		}},
	})
}

// instanceService lists the nodes' pods, those included that Knative leads to no more:
// the proxy looks there for one that still holds something.
func (p *Pool) instanceService() *unstructured.Unstructured {
	return object(m{
		"apiVersion": "v1", "kind": "Service",
		"metadata": p.metadata(p.instancesName(), partNode),
		"spec": m{
			"clusterIP":                "None",
			"selector":                 p.selector(partNode),
			"publishNotReadyAddresses": true,
			"ports":                    l{m{"name": "http2", "port": InstancePort, "targetPort": InstancePort, "protocol": "TCP"}},
		},
	})
}

// isNode tells whether an object is a node's service.
func isNode(u *unstructured.Unstructured) bool {
	return u.GetKind() == "Service" && u.GroupVersionKind().Group == servingGroup
}

// scaling are the autoscaler's annotations of a revision.
func (p *Pool) scaling() m {
	const autoscaling = "autoscaling.knative.dev/"
	all := m{
		autoscaling + "max-scale": "1",
		autoscaling + "window":    seconds(p.Window.Duration),
	}
	switch p.Keep {
	case MinScale:
		all[autoscaling+"min-scale"] = "1"
	case Retain:
		all[autoscaling+"scale-to-zero-pod-retention-period"] = seconds(p.Retention.Duration)
	}
	if p.StartAsleep {
		all[autoscaling+"initial-scale"] = "0"
	}
	return all
}

// seconds writes a duration in whole seconds.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int(d.Seconds())) }

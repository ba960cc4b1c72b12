package knative

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Ports of the queue-proxy that Knative puts beside every node: HTTP, HTTP/2, HTTPS
// and two for metrics, which the autoscaler reads.
var (
	queueProxyHTTP    = []int{8012, InstancePort, 8112}
	queueProxyMetrics = []int{9090, 9091}
)

// InstancePort is where queue-proxy takes requests for a node's pod, by HTTP/2 or
// HTTP/1.1; a service that does not speak HTTP/2 has them at 8012.
const InstancePort = 8013

// budget bounds how many nodes a drain of machines takes at once. The proxy has
// none: with one replica it would either forbid to drain its machine or say nothing.
func (p *Pool) budget() *unstructured.Unstructured {
	return object(m{
		"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
		"metadata": p.metadata(p.Prefix+"nodes", partNode),
		"spec": m{
			"maxUnavailable": p.Unavailable,
			"selector":       m{"matchLabels": p.selector(partNode)},
			// A pod that does not run holds nothing worth waiting for.
			"unhealthyPodEvictionPolicy": "AlwaysAllow",
		},
	})
}

// nodePolicy lets the proxy and Knative reach the nodes, and no one else.
func (p *Pool) nodePolicy() *unstructured.Unstructured {
	system := l{}
	for _, namespace := range p.SystemNamespaces {
		system = append(system, m{"namespaceSelector": m{"matchLabels": m{"kubernetes.io/metadata.name": namespace}}})
	}
	proxyPorts := queueProxyHTTP
	if p.Links == Direct {
		proxyPorts = append([]int{LinkPort}, queueProxyHTTP...)
	}
	return p.policy(p.Prefix+"nodes", partNode,
		rule(l{p.pods(partProxy)}, proxyPorts...),
		rule(system, append(append([]int{}, queueProxyHTTP...), queueProxyMetrics...)...))
}

// proxyPolicy lets clients, nodes and those who look after it reach the proxy, each
// at its own ports.
func (p *Pool) proxyPolicy() *unstructured.Unstructured {
	var clients l
	switch p.Clients {
	case InNamespace:
		clients = l{m{"podSelector": m{}}}
	case Labelled:
		clients = l{p.anywhere(ClientLabel)}
	}
	rules := []m{
		rule(clients, clientPort, redisPort),
		rule(l{p.anywhere(AdminLabel)}, adminPort),
		rule(l{p.pods(partNode)}, linksPort),
	}
	return p.policy(p.ProxyName(), partProxy, rules...)
}

func (p *Pool) policy(name, part string, rules ...m) *unstructured.Unstructured {
	ingress := l{}
	for _, r := range rules {
		ingress = append(ingress, r)
	}
	return object(m{
		"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
		"metadata": p.metadata(name, part),
		"spec": m{
			"podSelector": m{"matchLabels": p.selector(part)},
			"policyTypes": l{"Ingress"},
			"ingress":     ingress,
		},
	})
}

// rule lets those in from reach ports; without any in from, everyone may.
func rule(from l, ports ...int) m {
	list := l{}
	for _, port := range ports {
		list = append(list, m{"port": port, "protocol": "TCP"})
	}
	if len(from) == 0 {
		return m{"ports": list}
	}
	return m{"from": from, "ports": list}
}

// pods are those of a part of the pool.
func (p *Pool) pods(part string) m { return m{"podSelector": m{"matchLabels": p.selector(part)}} }

// anywhere are pods of any namespace with the label for this pool.
func (p *Pool) anywhere(label string) m {
	return m{"namespaceSelector": m{}, "podSelector": m{"matchLabels": m{label: p.ID()}}}
}

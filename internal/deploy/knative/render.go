package knative

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Objects are all objects of the pool on Knative, in an order in which they can be
// applied one by one. They depend on the pool file alone.
func (p *Pool) Objects() []*unstructured.Unstructured {
	all := p.surroundings()
	for node := range p.Nodes {
		all = append(all, p.node(node))
	}
	return append(all, p.proxy()...)
}

// surroundings are the objects that neither nodes nor proxy can start without, or
// ought to.
func (p *Pool) surroundings() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		p.account(p.accountName(partNode), partNode),
		p.account(p.accountName(partProxy), partProxy),
		p.nodePolicy(),
		p.proxyPolicy(),
		p.budget(),
		p.instanceService(),
		p.clientService(),
		p.linkService(),
	}
}

// proxy is the proxy and what it reads as it starts.
func (p *Pool) proxy() []*unstructured.Unstructured {
	return []*unstructured.Unstructured{p.configMap(), p.statefulSet()}
}

// file is the whole pool file, as the proxy reads it.
func (p *Pool) file() string {
	text, err := yaml.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("writing a pool file: %v", err)) // text and numbers only
	}
	return string(text)
}

// fingerprint changes with what the proxy makes use of: another image of the nodes
// is no reason to restart the proxy.
func (p *Pool) fingerprint() string {
	own := *p
	own.Image, own.ProxyImage, own.ProxyCPU, own.StorageClass = "", "", "", ""
	own.ProxyMemory, own.Storage, own.Unavailable = 0, 0, 0
	own.CPU, own.Spread, own.Clients, own.StartAsleep = "", "", "", false
	own.ProxyFlags, own.SystemNamespaces, own.Labels, own.CloudRun = nil, nil, nil, nil
	return digest(own.file())
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// accountName is the name of the service account of a part. It has no permissions.
func (p *Pool) accountName(part string) string { return p.Prefix + part }

func (p *Pool) account(name, part string) *unstructured.Unstructured {
	return object(m{
		"apiVersion": "v1", "kind": "ServiceAccount",
		"metadata":                     p.metadata(name, part),
		"automountServiceAccountToken": false,
	})
}

// confined is the security context of every container.
func confined() m {
	return m{
		"runAsNonRoot":             true,
		"runAsUser":                imageUser,
		"runAsGroup":               imageUser,
		"readOnlyRootFilesystem":   true,
		"allowPrivilegeEscalation": false,
		"capabilities":             m{"drop": l{"ALL"}},
		"seccompProfile":           m{"type": "RuntimeDefault"},
	}
}

// imageUser is who runs the programs of the images.
const imageUser = 65532

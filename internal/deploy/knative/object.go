package knative

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// Labels by which the parts of a pool find each other.
const (
	labelDomain = "infinicache.dev"
	// PoolLabel is on everything of a pool, with the pool's ID. What does not have
	// it is never changed or deleted.
	PoolLabel = labelDomain + "/pool"
	// NodeLabel is on a node's service and pods, with the node's number.
	NodeLabel = labelDomain + "/node"
	// ClientLabel is on pods that may connect to the proxy, and AdminLabel on those
	// that may use its admin door, with the pool's ID.
	ClientLabel = labelDomain + "/client"
	AdminLabel  = labelDomain + "/admin"

	partLabel = "app.kubernetes.io/component"
	partNode  = "node"
	partProxy = "proxy"
)

// m is a JSON object, l a JSON array.
type (
	m = map[string]any
	l = []any
)

// object makes an object of Kubernetes from what json.Marshal can write.
func object(fields m) *unstructured.Unstructured {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("rendering: %v", err)) // only m, l, text and numbers are in it
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(text); err != nil {
		panic(fmt.Sprintf("rendering: %v", err)) // every caller gives a kind
	}
	return u
}

// labels are those of a part of the pool.
func (p *Pool) labels(part string) m {
	all := m{}
	for key, value := range p.Labels {
		all[key] = value
	}
	all["app.kubernetes.io/name"] = "infinicache"
	all["app.kubernetes.io/managed-by"] = "infinicache"
	all[partLabel] = part
	all[PoolLabel] = p.ID()
	return all
}

// selector matches the pods of a part of the pool.
func (p *Pool) selector(part string) m {
	return m{partLabel: part, PoolLabel: p.ID()}
}

// nodeLabels are those of one node.
func (p *Pool) nodeLabels(node int) m {
	all := p.labels(partNode)
	all[NodeLabel] = strconv.Itoa(node)
	return all
}

func (p *Pool) metadata(name, part string) m {
	return m{"name": name, "namespace": p.Namespace, "labels": p.labels(part)}
}

// quantity is a size as Kubernetes writes it.
func quantity(n bytesize.Bytes) string {
	return resource.NewQuantity(int64(n), resource.BinarySI).String()
}

// sorted goes over a map by its keys.
func sorted[V any](all map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if !yield(key, all[key]) {
				return
			}
		}
	}
}

// WriteYAML writes objects as a stream of YAML documents for kubectl apply -f -.
func WriteYAML(w io.Writer, objects []*unstructured.Unstructured) error {
	for i, u := range objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			return fmt.Errorf("write %s: %w", title(u), err)
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := io.Copy(w, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

// title names an object for people.
func title(u *unstructured.Unstructured) string { return kindOf(u) + " " + u.GetName() }

// kindOf is an object's kind as kubectl writes it.
func kindOf(u *unstructured.Unstructured) string {
	if isNode(u) {
		return "ksvc"
	}
	return strings.ToLower(u.GetKind())
}

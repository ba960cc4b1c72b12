//go:build e2e

package knative

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestRollout brings new revisions to a pool that is in use.
func TestRollout(t *testing.T) {
	t.Parallel()
	p := newPool(t, "roll", 6, fields{"proxyFlags": shape, "window": "10s"})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "base", 60, 1<<20)

	p.write(fields{"image": at.nodeImages[1]})
	if _, _, err := infinicache(t.Context(), "deploy", "knative", "--pool", p.file); err == nil {
		t.Error("deploy replaces nodes that hold something, without a word")
	}
	began := time.Now()
	p.under(mixed, l, func() { p.deploy("--admin", p.at.admin) })
	report(t, "rollout, drained by deploy --admin", "%v; objects kept: %s", time.Since(began).Round(time.Second), kept(t, l, c, keys))
	p.overlapped(at.nodeImages[1])
	p.verdict(l)
	p.settled()

	p.write(fields{"image": at.nodeImages[0]})
	began = time.Now()
	var overlap int
	p.under(mixed, l, func() {
		p.applyPrinted("node")
		overlap = p.overlapped(at.nodeImages[0])
	})
	report(t, "rollout by kubectl apply, handed over", "%v; %d nodes had two pods at a time; objects kept: %s",
		time.Since(began).Round(time.Second), overlap, kept(t, l, c, keys))
	if overlap == 0 {
		t.Error("no node had two pods at a time, which this is to test")
	}
	p.verdict(l)
}

// TestRolloutWithTheProxy brings new revisions without a drain, of the nodes and of the
// proxy that they are to hand over with the help of.
func TestRolloutWithTheProxy(t *testing.T) {
	t.Parallel()
	p := newPool(t, "both", 6, fields{"proxyFlags": shape, "window": "10s"})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "base", 60, 1<<20)

	undrained := func(what string, change fields, image string) {
		t.Helper()
		p.write(change)
		began := time.Now()
		p.under(mixed, l, func() {
			p.deploy("--undrained")
			p.overlapped(image)
		})
		report(t, "rollout by deploy --undrained, "+what, "%v; objects kept: %s", time.Since(began).Round(time.Second), kept(t, l, c, keys))
		p.verdict(l)
		p.settled()
	}
	undrained("and of the proxy", fields{"image": at.nodeImages[1], "keep": "warm"}, at.nodeImages[1])
	// Without sessions that last, an old instance is found when the node is next asked.
	undrained("keep: warm", fields{"image": at.nodeImages[0]}, at.nodeImages[0])

	// Everything at once, as tools do that keep a cluster as files say: the proxy is
	// away just when old pods would hand over.
	p.write(fields{"image": at.nodeImages[1], "keep": "hold"})
	began := time.Now()
	p.under(mixed, l, func() {
		p.applyPrinted("")
		p.overlapped(at.nodeImages[1])
	})
	report(t, "rollout by kubectl apply, and of the proxy", "%v; objects kept: %s", time.Since(began).Round(time.Second), kept(t, l, c, keys))
	p.verdict(l)
}

// TestProxyWithoutImage gives the proxy an image that is nowhere: the deployment ends
// before anything is changed, and the next one with an image that is there does not stop
// at what is left of it.
func TestProxyWithoutImage(t *testing.T) {
	t.Parallel()
	p := newPool(t, "noimage", 2, nil)
	epoch := p.status().Epoch
	p.write(fields{"proxyImage": "dev.local/infinicache-e2e-nowhere:v1"})
	began := time.Now()
	_, _, err := infinicache(t.Context(), "deploy", "knative", "--pool", p.file)
	if err == nil || !strings.Contains(err.Error(), "nothing is changed") || !strings.Contains(err.Error(), "Pull") {
		t.Errorf("deploying a proxy whose image is nowhere: %v", err)
	}
	report(t, "proxy whose image is nowhere, refused", "%v", time.Since(began).Round(time.Second))
	if s := p.status(); s.Epoch != epoch {
		t.Errorf("epoch %d, want still %d", s.Epoch, epoch)
	}
	p.write(fields{"proxyImage": at.proxyImage, "proxyFlags": []string{"--log-level=warn"}})
	began = time.Now()
	p.deploy()
	report(t, "proxy replaced after a trial", "%v", time.Since(began).Round(time.Second))
	p.connect()
	if s := p.status(); s.Epoch <= epoch {
		t.Errorf("epoch %d, want another proxy than that of %d", s.Epoch, epoch)
	}
}

// applyPrinted applies what the command prints of a part of the pool, as kubectl apply
// would, or all of it.
func (p *pool) applyPrinted(part string) {
	p.t.Helper()
	out, _, err := infinicache(p.t.Context(), "deploy", "knative", "--pool", p.file, "--print")
	if err != nil {
		p.t.Fatal(err)
	}
	nodes := 0
	for document := range strings.SplitSeq(out, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
			p.t.Fatal(err)
		}
		if part != "" && u.GetLabels()["app.kubernetes.io/component"] != part {
			continue
		}
		// --print knows no cluster, and so not that this one may know no spreading.
		unstructured.RemoveNestedField(u.Object, "spec", "template", "spec", "topologySpreadConstraints")
		if err := at.apply(p.t.Context(), u); err != nil {
			p.t.Fatal(err)
		}
		if u.GroupVersionKind().GroupVersion() == services.GroupVersion() {
			nodes++
		}
	}
	if want := p.settings["nodes"]; nodes != want {
		p.t.Fatalf("%d services were printed, want %v", nodes, want)
	}
}

// overlapped waits until only pods of an image are left, and counts the nodes that
// had more than one pod meanwhile.
func (p *pool) overlapped(image string) int {
	p.t.Helper()
	twice := map[string]bool{}
	await(p.t, 4*time.Minute, "all pods are of the new revision", func() bool {
		over := true
		for node, pods := range p.pods(true) {
			ready := 0
			for _, pod := range pods {
				over = over && pod.Spec.Containers[0].Image == image
				for _, c := range pod.Status.ContainerStatuses {
					if c.Name == "node" && c.State.Running != nil {
						ready++
					}
				}
			}
			twice[node] = twice[node] || ready > 1
		}
		return over
	})
	count := 0
	for _, yes := range twice {
		if yes {
			count++
		}
	}
	return count
}

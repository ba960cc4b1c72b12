//go:build e2e

package knative

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/infinicache/infinicache/internal/ledger"
)

// parity is that of the stripes of these pools, in which any node may go: of six
// nodes each stripe is on four.
const parity = 2

var shape = []string{fmt.Sprintf("--shape=2+%d", parity)}

// mixed is what clients do while something happens to a pool.
var mixed = ledger.Load{
	Clients: 3, Keys: 15, Sizes: []int{64 << 10, 1 << 20, 4 << 20}, Reads: 0.7, Deletes: 0.03,
	Burst: 300 * time.Millisecond, Rest: 100 * time.Millisecond,
}

// under has clients use the pool while something happens to it, and before and after.
func (p *pool) under(w ledger.Load, l *ledger.Ledger, happen func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		w.Run(ctx, l, p.client, "load")
	}()
	defer func() {
		cancel()
		<-over
	}()
	busy := func(when string) {
		until := l.Count() + 20
		await(p.t, 30*time.Second, "writes "+when, func() bool { return l.Count() >= until })
	}
	busy("before")
	happen()
	busy("after")
}

// holding are the pods of the nodes that hold most.
func (p *pool) holding(count int) []corev1.Pod {
	p.t.Helper()
	nodes := p.status().Nodes
	order := make([]int, len(nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(nodes[b].HeldBytes - nodes[a].HeldBytes) })
	pods := p.pods(false)
	var found []corev1.Pod
	for _, node := range order {
		if own := pods[fmt.Sprint(node)]; len(own) > 0 && len(found) < count {
			found = append(found, own[0])
		}
	}
	if len(found) < count {
		p.t.Fatalf("%d nodes have a pod, want %d", len(found), count)
	}
	return found
}

// gone waits until a pod is.
func (p *pool) gone(name string) {
	p.t.Helper()
	await(p.t, 90*time.Second, name+" is gone", func() bool {
		_, err := at.api.CoreV1().Pods(at.namespace).Get(p.t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// TestPodsDeleted has pods deleted under writes and reads, first with the time that
// Knative gives them, then at once.
func TestPodsDeleted(t *testing.T) {
	t.Parallel()
	p := newPool(t, "loss", 6, fields{"proxyFlags": shape})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "base", 60, 1<<20)

	for round := range 2 {
		before := p.status().Faults
		pod := p.holding(1)[0]
		var heard time.Duration
		p.under(mixed, l, func() {
			p.kill(pod.Name, -1)
			heard = await(t, 20*time.Second, "notice of a deletion", func() bool { return p.status().Faults.Notices > before.Notices })
			p.gone(pod.Name)
		})
		after := p.status().Faults
		report(t, fmt.Sprintf("pod %d deleted under load", round+1), "notice after %v, %d chunks moved, %d failed, %d repaired; objects of before kept: %s",
			heard.Round(time.Millisecond), after.MovedChunks-before.MovedChunks, after.FailedChunks-before.FailedChunks,
			after.RepairedChunks-before.RepairedChunks, kept(t, l, c, keys))
		if after.MovedChunks == before.MovedChunks {
			t.Error("the pod that was deleted moved nothing")
		}
		p.settled()
	}
	p.verdict(l)

	before := p.status().Faults
	p.under(mixed, l, func() {
		for _, pod := range p.holding(parity) {
			p.kill(pod.Name, 0)
		}
		await(t, time.Minute, "all nodes have pods again", func() bool { return p.up() == 6 })
	})
	after := p.status().Faults
	report(t, fmt.Sprintf("%d pods killed under load", parity), "%d chunks failed, %d repaired; objects of before kept: %s",
		after.FailedChunks-before.FailedChunks, after.RepairedChunks-before.RepairedChunks, kept(t, l, c, keys))
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d objects are lost with as many pods as a stripe has parity chunks", len(missed))
	}
	p.settled()
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d objects are lost after repair", len(missed))
	}
	// An object that was just written may have only as many chunks as a write needs,
	// and lose two of those.
	p.verdict(l, "lost")
}

// TestProxyKilled has the proxy's pod killed under writes and reads: it comes back
// with its journal, and knows what its nodes hold.
func TestProxyKilled(t *testing.T) {
	t.Parallel()
	p := newPool(t, "again", 6, fields{"proxyFlags": shape})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "base", 60, 1<<20)
	for round, grace := range []int64{0, -1} {
		epoch := p.status().Epoch
		var away time.Duration
		p.under(mixed, l, func() {
			p.kill(p.id+"-proxy-0", grace)
			began := time.Now()
			await(t, 90*time.Second, "another proxy serves", func() bool {
				s, err := p.ask()
				return err == nil && s.Epoch > epoch
			})
			away = time.Since(began)
		})
		report(t, fmt.Sprintf("proxy's pod deleted, grace %d", grace), "away for %v; objects of before kept: %s", away.Round(10*time.Millisecond), kept(t, l, c, keys))
		if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
			t.Errorf("round %d: %d objects are lost with the proxy", round, len(missed))
		}
	}
	// The first version of a key is written to the journal behind its acknowledgement.
	p.verdict(l, "never-stored")
}

// TestEverythingDeleted has the proxy's pod and those of all nodes deleted together:
// nodes that have time left wait for the next proxy, and hand over.
func TestEverythingDeleted(t *testing.T) {
	t.Parallel()
	p := newPool(t, "all", 6, fields{"proxyFlags": shape})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "base", 60, 1<<20)
	old := p.names()
	epoch := p.status().Epoch
	p.under(mixed, l, func() {
		for _, name := range append(old, p.id+"-proxy-0") {
			p.kill(name, -1)
		}
		await(t, 90*time.Second, "another proxy serves", func() bool {
			s, err := p.ask()
			return err == nil && s.Epoch > epoch
		})
		for _, name := range old {
			p.gone(name)
		}
	})
	report(t, "all pods deleted, the proxy's too", "%d chunks moved; objects of before kept: %s", p.status().Faults.MovedChunks, kept(t, l, c, keys))
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d objects are lost: %v", len(missed), missed)
	}
	p.verdict(l, "never-stored")
}

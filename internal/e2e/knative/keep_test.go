//go:build e2e

package knative

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/infinicache/infinicache/internal/ledger"
)

// TestKeep sees what each policy keeps of a pool that nobody uses, first while its
// nodes hold something, then when they hold nothing.
func TestKeep(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keep      string
		change    fields
		keptEmpty bool // pods of nodes that hold nothing
	}{
		{"hold", nil, false},
		{"warm", nil, false},
		{"retain", fields{"retention": "20s"}, false},
		{"min-scale", nil, true},
	} {
		t.Run(tt.keep, func(t *testing.T) {
			t.Parallel()
			change := fields{"keep": tt.keep, "window": "10s", "timeout": "60s", "proxyFlags": []string{"--shape=1+1"}}
			maps.Copy(change, tt.change)
			p := newPool(t, tt.keep, 2, change)
			c, l := p.client(), ledger.New()
			keys := l.Fill(t, c, "kept", 6, 200<<10)
			before := p.names()
			pause(t, 60*time.Second) // window and grace are over long since
			if after := p.names(); !slices.Equal(before, after) || len(after) != 2 {
				t.Errorf("pods were %v, and are %v after a rest", before, after)
			}
			if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
				t.Errorf("%d of %d objects were not kept", len(missed), len(keys))
			}
			for _, key := range keys {
				l.Delete(t.Context(), c, key)
			}
			if tt.keptEmpty {
				pause(t, 60*time.Second)
				if after := p.names(); !slices.Equal(before, after) {
					t.Errorf("pods were %v, and are %v though nothing may take them", before, after)
				}
			} else {
				took := await(t, 150*time.Second, "pods of empty nodes are let go", func() bool { return len(p.names()) == 0 })
				report(t, "keep: "+tt.keep+", pods of empty nodes let go", "after %v", took.Round(time.Second))
			}
			p.verdict(l)
		})
	}
}

// names are those of the nodes' pods that stay.
func (p *pool) names() (all []string) {
	p.t.Helper()
	for _, pods := range p.pods(false) {
		for _, pod := range pods {
			all = append(all, pod.Name)
		}
	}
	slices.Sort(all)
	return all
}

// TestScaleToZero has the autoscaler take pods that nothing keeps. As long as there is
// something to hold, who goes hands over to others, which are started for that, and
// nothing is lost; a pool that holds nothing goes to zero, and is used again from there.
func TestScaleToZero(t *testing.T) {
	t.Parallel()
	const count, nodes = 40, 6
	p := newPool(t, "empty", nodes, fields{"keep": "warm", "window": "6s", "proxyFlags": append([]string{"--warm-every=0"}, shape...)})
	c, l := p.client(), ledger.New()
	keys := l.Fill(t, c, "handed", count, 1<<20)
	took := await(t, 4*time.Minute, "every pod was replaced twice", func() bool { return p.status().Faults.LostInstances >= 2*nodes })
	faults := p.status().Faults
	report(t, "pods that nothing keeps, replaced", "%d in %v; %d notices, %d chunks moved; objects kept: %s",
		faults.LostInstances, took.Round(time.Second), faults.Notices, faults.MovedChunks, kept(t, l, c, keys))
	for _, key := range keys {
		l.Delete(t.Context(), c, key)
	}
	took = await(t, 3*time.Minute, "no pods are left", func() bool { return len(p.pods(true)) == 0 })
	report(t, "an empty pool is at zero", "after %v", took.Round(time.Second))
	p.verdict(l)

	keys = l.Fill(t, c, "again", count, 1<<20)
	if missed := l.ReadAll(t, c, keys); len(missed) > 0 {
		t.Errorf("%d objects are misses that were stored in a pool from zero: %v", len(missed), missed)
	}
	lost := p.status().Faults.LostInstances
	for _, name := range p.names() {
		p.kill(name, 0)
	}
	await(t, time.Minute, "pods that were killed are known to be lost", func() bool {
		l.ReadAll(t, c, keys) // which asks for them
		return p.status().Faults.LostInstances >= lost+nodes
	})
	report(t, "all pods killed at once, without grace", "objects kept: %s", kept(t, l, c, keys))
	p.verdict(l, "lost", "unheard")
}

package main

import (
	"fmt"
	"io"

	"github.com/infinicache/infinicache/internal/bench"
	"github.com/infinicache/infinicache/internal/bytesize"
)

// benchTable prints rows as they come, each cell's targets beside one another.
type benchTable struct {
	w     io.Writer
	began bool
	cell  []bench.Row
}

func (t *benchTable) add(r bench.Row, targets int) {
	if !t.began {
		t.began = true
		fmt.Fprintf(t.w, "%-4s %-8s %-3s %-12s %9s %6s %9s %9s | %7s %7s %7s %7s | %9s %9s %9s\n",
			"op", "size", "cl", "cache", "MiB/s", "ratio", "p50", "p99",
			"CPU/GiB", "client", "proxy", "nodes", "RSS clnt", "proxy", "nodes")
	}
	t.cell = append(t.cell, r)
	if len(t.cell) < targets {
		return
	}
	last := t.cell[len(t.cell)-1] // what the others are compared with
	for _, r := range t.cell {
		ratio := ""
		if targets > 1 && last.BytesPerSecond > 0 {
			ratio = fmt.Sprintf("%.2f", r.BytesPerSecond/last.BytesPerSecond)
		}
		cpu := func(x float64) string {
			if !r.CPU.Known && x == 0 {
				return "?"
			}
			return fmt.Sprintf("%.2f", x)
		}
		total := cpu(r.CPU.Total)
		if !r.CPU.Known {
			total = "?"
		}
		memory := func(n int64) string {
			if n == 0 {
				return "?"
			}
			return shortSize(n)
		}
		fmt.Fprintf(t.w, "%-4s %-8s %-3d %-12s %9.1f %6s %9s %9s | %7s %7s %7s %7s | %9s %9s %9s\n",
			r.Op, bytesize.Format(r.Size), r.Clients, r.Target, r.BytesPerSecond/(1<<20), ratio, shortTime(r.P50), shortTime(r.P99),
			total, cpu(r.CPU.Client), cpu(r.CPU.Proxy), cpu(r.CPU.Nodes),
			memory(r.Memory.Client), memory(r.Memory.Proxy), memory(r.Memory.Nodes))
		if r.Errors > 0 {
			fmt.Fprintf(t.w, "     %d errors, the first: %s\n", r.Errors, r.FirstError)
		}
	}
	t.cell = t.cell[:0]
}

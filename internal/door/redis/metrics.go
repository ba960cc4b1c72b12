package redis

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the door does.
type metrics struct {
	connections prometheus.Gauge
	accepted    tally
	refused     tally
	received    tally // bytes
	sent        tally // bytes
	hits        tally
	misses      tally
	commands    tally

	byCommand map[*command]prometheus.Counter
	errors    *prometheus.CounterVec // by code: the first word of the error
}

// tally is a counter that can be read, too.
type tally struct {
	counter prometheus.Counter // nil: counted here only
	n       atomic.Int64
}

func (t *tally) add(n int64) {
	t.n.Add(n)
	if t.counter != nil {
		t.counter.Add(float64(n))
	}
}

// newMetrics makes the metrics and registers them with reg, unless that is nil.
func newMetrics(reg prometheus.Registerer, table commandTable) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "infinicache", Subsystem: "redis", Name: name, Help: help}
	}
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts(opts("connections", "Connections being served."))),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts(
			opts("errors_total", "Error replies, by the error's code.")), []string{"code"}),
		byCommand: make(map[*command]prometheus.Counter),
	}
	all := []prometheus.Collector{m.connections, m.errors}
	counter := func(t *tally, name, help string) {
		t.counter = prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
		all = append(all, t.counter)
	}
	counter(&m.accepted, "connections_total", "Connections accepted.")
	counter(&m.refused, "connections_refused_total", "Connections refused because there were too many.")
	counter(&m.received, "received_bytes_total", "Bytes received from clients.")
	counter(&m.sent, "sent_bytes_total", "Bytes sent to clients.")
	counter(&m.hits, "hits_total", "Keys looked up to be read, and found.")
	counter(&m.misses, "misses_total", "Keys looked up to be read, and not found.")

	commands := prometheus.NewCounterVec(prometheus.CounterOpts(
		opts("commands_total", "Commands begun.")), []string{"command"})
	all = append(all, commands)
	for _, cmd := range table {
		m.byCommand[cmd] = commands.WithLabelValues(cmd.name)
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range all {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

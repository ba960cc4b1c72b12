package redis

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

func serverCommands() []command {
	const g = "server"
	return []command{
		{name: "info", arity: -1, run: info, group: g, since: "1.0.0",
			summary: "Tells about server, clients, memory, statistics and keys."},
		{name: "time", arity: 1, flags: fast, run: timeNow, group: g, since: "2.6.0",
			summary: "Returns the time: Unix seconds, and microseconds in the second."},
	}
}

func timeNow(_ context.Context, c *conn, _ [][]byte) error {
	us := time.Now().UnixMicro()
	c.replyArray(2)
	c.replyBulk(strconv.FormatInt(us/1e6, 10))
	c.replyBulk(strconv.FormatInt(us%1e6, 10))
	return nil
}

// infoSections are the parts of INFO, in order.
var infoSections = []struct {
	name  string
	write func(b *strings.Builder, d *Door, s Stats, keys int64)
}{
	{"Server", infoServer},
	{"Clients", infoClients},
	{"Memory", infoMemory},
	{"Stats", infoStats},
	{"Keyspace", infoKeyspace},
}

// info is INFO [section ...]. A section that is not known is empty, as in Redis.
func info(ctx context.Context, c *conn, args [][]byte) error {
	keys, err := c.door.cfg.Cache.Len(ctx)
	if err != nil {
		return err
	}
	stats := c.door.cfg.Stats()
	var b strings.Builder
	for _, section := range infoSections {
		if !wantsSection(args[1:], section.name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("# " + section.name + "\r\n")
		section.write(&b, c.door, stats, keys)
	}
	c.replyText(b.String())
	return nil
}

func wantsSection(asked [][]byte, name string) bool {
	for _, a := range asked {
		if is(a, strings.ToLower(name)) || is(a, "all") || is(a, "default") || is(a, "everything") {
			return true
		}
	}
	return len(asked) == 0
}

func infoServer(b *strings.Builder, d *Door, s Stats, _ int64) {
	up := time.Since(d.start)
	field(b, "redis_version", compatible)
	field(b, "redis_mode", "standalone")
	field(b, "infinicache_version", s.Version)
	field(b, "os", runtime.GOOS+" "+runtime.GOARCH)
	field(b, "arch_bits", strconv.IntSize)
	field(b, "process_id", os.Getpid())
	field(b, "uptime_in_seconds", int64(up.Seconds()))
	field(b, "uptime_in_days", int64(up.Hours()/24))
}

func infoClients(b *strings.Builder, d *Door, _ Stats, _ int64) {
	field(b, "connected_clients", len(d.all()))
	field(b, "maxclients", d.cfg.MaxConns)
	field(b, "blocked_clients", 0)
}

func infoMemory(b *strings.Builder, d *Door, s Stats, _ int64) {
	field(b, "used_memory", s.Used)
	field(b, "used_memory_human", human(s.Used))
	field(b, "maxmemory", s.Capacity)
	field(b, "maxmemory_human", human(s.Capacity))
	field(b, "maxmemory_policy", evictionPolicy)
	field(b, "largest_object", d.cfg.Cache.MaxObject())
}

func infoStats(b *strings.Builder, d *Door, s Stats, _ int64) {
	m := d.metrics
	field(b, "total_connections_received", m.accepted.n.Load())
	field(b, "rejected_connections", m.refused.n.Load())
	field(b, "total_commands_processed", m.commands.n.Load())
	field(b, "total_net_input_bytes", m.received.n.Load())
	field(b, "total_net_output_bytes", m.sent.n.Load())
	field(b, "keyspace_hits", m.hits.n.Load())
	field(b, "keyspace_misses", m.misses.n.Load())
	field(b, "expired_keys", s.Expired)
	field(b, "evicted_keys", s.Evicted)
}

func infoKeyspace(b *strings.Builder, _ *Door, s Stats, keys int64) {
	if keys > 0 {
		field(b, "db0", fmt.Sprintf("keys=%d,expires=%d,avg_ttl=0", keys, s.Expiring))
	}
}

func field(b *strings.Builder, name string, value any) {
	fmt.Fprintf(b, "%s:%v\r\n", name, value)
}

// human writes bytes as Redis does: 1.50M.
func human(n int64) string {
	const units = "BKMGTPE"
	f, unit := float64(n), 0
	for f >= 1024 && unit+1 < len(units) {
		f /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.2f%c", f, units[unit])
}

package redis

import (
	"context"
	"strconv"

	"github.com/infinicache/infinicache/internal/wire"
)

// evictionPolicy is the policy of Redis that is nearest to CLOCK over all keys.
const evictionPolicy = "allkeys-lru"

func configCommand() command {
	return container("config", admin, "server", "2.0.0", "Tells the configuration.",
		command{name: "get", arity: -3, flags: admin, run: configGet, since: "2.0.0",
			summary: "Returns the settings whose names match one of the patterns."},
		command{name: "resetstat", arity: 2, flags: admin, run: configResetStat, since: "2.0.0",
			summary: "Sets the counters of the door in INFO to 0."},
	)
}

// settings are the values of CONFIG GET: what Redis would call the door's
// limits, and what says that nothing is written to a disk.
func (d *Door) settings() [][2]string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return [][2]string{
		{"appendonly", "no"},
		{"databases", "1"},
		{"maxclients", number(int64(d.cfg.MaxConns))},
		{"maxmemory", number(d.cfg.Stats().Capacity)},
		{"maxmemory-policy", evictionPolicy},
		{"proto-max-bulk-len", number(d.cfg.Cache.MaxObject())},
		{"proto-max-key-len", number(wire.MaxKey)},
		{"save", ""},
		{"timeout", number(int64(d.cfg.Idle.Seconds()))},
	}
}

func configGet(_ context.Context, c *conn, args [][]byte) error {
	var found [][2]string
	for _, s := range c.door.settings() {
		for _, pattern := range args[2:] {
			if globMatch(string(pattern), s[0], true) {
				found = append(found, s)
				break
			}
		}
	}
	c.replyMap(len(found))
	for _, s := range found {
		c.replyBulk(s[0])
		c.replyBulk(s[1])
	}
	return nil
}

func configResetStat(_ context.Context, c *conn, _ [][]byte) error {
	m := c.door.metrics
	for _, t := range []*tally{&m.accepted, &m.refused, &m.commands, &m.received, &m.sent, &m.hits, &m.misses} {
		t.n.Store(0)
	}
	c.replyOK()
	return nil
}

package main

import (
	"os"
	"time"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/door/redis"
	"github.com/infinicache/infinicache/internal/proxy"
)

// status describes the whole system for the admin door.
func (s *system) status() admin.Status {
	p := s.proxy.Status()
	caps := s.driver.Capabilities()
	out := admin.Status{
		Version: version, PID: os.Getpid(), UptimeSeconds: time.Since(s.began).Seconds(),
		Platform: caps.Name, Epoch: s.epoch,
		Listeners: admin.Listeners{
			Client: s.client.Addr().String(), Redis: s.redis.Addr().String(), Admin: s.admin.Addr().String(),
		},
		Catalog: admin.Catalog{
			Objects: p.Objects, Bytes: p.ObjectBytes, Staged: p.Staged, Pinned: p.Pinned,
			MaxObjectBytes: p.MaxObject, RepairsWaiting: p.RepairsWaiting,
		},
		Traffic: admin.Traffic{
			Clients: p.Clients, Hits: p.Hits, HitBytes: p.HitBytes, Puts: p.Puts, PutBytes: p.PutBytes,
			Misses: p.Misses, UnexplainedMisses: p.Unexplained,
		},
		Faults: admin.Faults{
			EvictedObjects: p.Evicted, EvictedBytes: p.EvictedBytes,
			LostObjects: p.ObjectsLost, LostInstances: p.InstancesLost,
			FailedChunks: p.ChunksFailed, RefusedChunks: p.ChunksRefused,
			RepairedChunks: p.ChunksRepaired, FailedRepairs: p.RepairsFailed,
			Stragglers: p.Stragglers, RefusedConnections: p.Refused,
		},
		Bill: admin.Bill{
			Sessions: p.Sessions, Seconds: p.BilledSeconds,
			Dollars: s.driver.spent(p.Sessions, p.BilledSeconds), Tariff: s.cfg.price.Title,
		},
	}
	for _, n := range p.Nodes {
		out.Nodes = append(out.Nodes, admin.Node{
			Node: int(n.Node), State: n.State, InFlight: n.InFlight, Queued: n.Queued,
			Sessions: n.Sessions, ColdStarts: n.Cold, BilledSeconds: n.Billed.Seconds(),
			CapacityBytes: n.Capacity, HeldBytes: n.Held, DeadBytes: n.Dead, Holders: n.Instances,
		})
	}
	for _, i := range s.platform.Instances() {
		n := &out.Nodes[i.Node]
		n.Instances = append(n.Instances, admin.Instance{
			ID: i.ID, State: string(i.State), PID: i.PID, MemoryBytes: i.RSS,
			AgeSeconds: i.Age.Seconds(), Sessions: i.Sessions, BilledSeconds: i.Billed.Seconds(),
		})
	}
	return out
}

// redisStats is what Redis clients are told by INFO.
func (s *system) redisStats() redis.Stats { return redisStats(s.proxy.Status()) }

func redisStats(p proxy.Status) redis.Stats {
	out := redis.Stats{Version: version, Evicted: int64(p.Evicted)}
	for _, n := range p.Nodes {
		out.Used += n.Held
		out.Capacity += n.Capacity
	}
	return out
}

package main

import (
	"os"
	"time"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/door/redis"
	"github.com/infinicache/infinicache/internal/emulator"
	"github.com/infinicache/infinicache/internal/proxy"
)

// status describes what runs here, for the admin door.
func (s *system) status() admin.Status {
	out := admin.Status{
		Version: version, PID: os.Getpid(), UptimeSeconds: time.Since(s.began).Seconds(),
		Platform: "embedded", Prefix: s.cfg.prefix,
	}
	if s.reign != nil {
		s.reign.describe(&out)
	}
	for _, p := range s.places() {
		switch p.name {
		case "client":
			out.Listeners.Client = p.at
		case "redis":
			out.Listeners.Redis = p.at
		case "admin":
			out.Listeners.Admin = p.at
		case "links":
			out.Listeners.Links = p.at
		case "invoke":
			out.Listeners.Invoke = p.at
		}
	}
	if s.platform != nil {
		listInstances(&out, s.platform)
	}
	return out
}

// describe fills in what the proxy knows.
func (r *reign) describe(out *admin.Status) {
	p := r.proxy.Status()
	out.Platform, out.Epoch = r.driver.Capabilities().Name, p.Epoch
	out.Catalog = admin.Catalog{
		Objects: p.Objects, Bytes: p.ObjectBytes, Staged: p.Staged, Pinned: p.Pinned,
		MaxObjectBytes: p.MaxObject, RepairsWaiting: p.RepairsWaiting,
	}
	out.Traffic = admin.Traffic{
		Clients: p.Clients, Hits: p.Hits, HitBytes: p.HitBytes, Puts: p.Puts, PutBytes: p.PutBytes,
		Misses: p.Misses, UnexplainedMisses: p.Unexplained,
	}
	out.Faults = admin.Faults{
		EvictedObjects: p.Evicted, EvictedBytes: p.EvictedBytes,
		LostObjects: p.ObjectsLost, LostInstances: p.InstancesLost,
		FailedChunks: p.ChunksFailed, RefusedChunks: p.ChunksRefused,
		RepairedChunks: p.ChunksRepaired, FailedRepairs: p.RepairsFailed,
		Notices: p.Notices, MovedChunks: p.ChunksMoved, FalseHoldings: p.FalseHoldings,
		Stragglers: p.Stragglers, RefusedConnections: p.Refused,
	}
	out.Backups = admin.Backups{
		Done: p.Backups, Failed: p.BackupsFailed, Chunks: p.BackupChunks, Bytes: p.BackupBytes,
	}
	out.Bill, out.Breaker, out.Journal = billOf(p.Bill, r.price), breakerOf(p.Breaker), journalOf(p.Journal)
	for _, n := range p.Nodes {
		out.Nodes = append(out.Nodes, admin.Node{
			Node: int(n.Node), State: n.State, InFlight: n.InFlight, Queued: n.Queued,
			Sessions: n.Sessions, ColdStarts: n.Cold, BilledSeconds: n.Billed.Seconds(),
			CapacityBytes: n.Capacity, HeldBytes: n.Held, DeadBytes: n.Dead, Holders: n.Instances,
		})
	}
}

// listInstances adds the instances to their nodes, and the nodes that only the
// platform has: all of them without a proxy, some while a pool is resized.
func listInstances(out *admin.Status, e *emulator.Emulator) {
	out.InstancesListed = true
	for node := len(out.Nodes); node < e.Nodes(); node++ {
		out.Nodes = append(out.Nodes, admin.Node{Node: node})
	}
	for _, i := range e.Instances() {
		if i.Node < 0 || i.Node >= len(out.Nodes) {
			continue // no node's, or deployed since
		}
		n := &out.Nodes[i.Node]
		n.Instances = append(n.Instances, admin.Instance{
			ID: i.ID, State: string(i.State), PID: i.PID, MemoryBytes: i.RSS,
			AgeSeconds: i.Age.Seconds(), Sessions: i.Sessions, BilledSeconds: i.Billed.Seconds(),
		})
	}
}

// redisStats is what Redis clients are told by INFO.
func (r *reign) redisStats() redis.Stats { return redisStats(r.proxy.Status()) }

func redisStats(p proxy.Status) redis.Stats {
	out := redis.Stats{Version: version, Evicted: int64(p.Evicted)}
	for _, n := range p.Nodes {
		out.Used += n.Held
		out.Capacity += n.Capacity
	}
	return out
}

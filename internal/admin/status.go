package admin

// Status is what /status answers, and what Client.Status returns. Names of
// fields are kept from release to release; fields may be added.
type Status struct {
	Version       string    `json:"version"`
	PID           int       `json:"pid"` // of the process that answers
	UptimeSeconds float64   `json:"uptime_seconds"`
	Platform      string    `json:"platform"` // for display
	Prefix        string    `json:"prefix"`   // begins the names of the pool's functions
	Epoch         uint64    `json:"epoch"`    // 0 for a platform without a proxy
	Listeners     Listeners `json:"listeners"`
	// InstancesListed tells that the nodes' instances are known here.
	InstancesListed bool `json:"instances_listed"`

	Catalog Catalog `json:"catalog"`
	Traffic Traffic `json:"traffic"`
	Faults  Faults  `json:"faults"`
	Backups Backups `json:"backups"`
	Bill    Bill    `json:"bill"`
	Breaker Breaker `json:"breaker"`
	// Journal is nil without one.
	Journal *Journal `json:"journal,omitempty"`
	Nodes   []Node   `json:"nodes"` // in order
}

// Drained is the state of a node that was drained and not admitted since.
const Drained = "drained"

// Listeners are addresses, host:port; empty where nobody listens.
type Listeners struct {
	Client string `json:"client"`
	Redis  string `json:"redis"`
	Admin  string `json:"admin"`
	Links  string `json:"links"`  // where instances dial
	Invoke string `json:"invoke"` // of an embedded platform's Invoke API
}

// Catalog is what the pool stores.
type Catalog struct {
	Objects        int   `json:"objects"`
	Bytes          int64 `json:"bytes"`  // of objects, parity not counted
	Staged         int   `json:"staged"` // versions being written
	Pinned         int   `json:"pinned"` // readers
	MaxObjectBytes int64 `json:"max_object_bytes"`
	RepairsWaiting int   `json:"repairs_waiting"`
}

// Traffic is what was asked since the start.
type Traffic struct {
	Clients  int    `json:"clients"` // links now
	Hits     uint64 `json:"hits"`
	HitBytes uint64 `json:"hit_bytes"`
	Puts     uint64 `json:"puts"`
	PutBytes uint64 `json:"put_bytes"`
	// Misses are by cause; the causes are a closed set and always all there.
	Misses map[string]uint64 `json:"misses"`
	// UnexplainedMisses are those without a cause. More than none is a defect.
	UnexplainedMisses uint64 `json:"unexplained_misses"`
}

// Faults is what went wrong since the start, and was mended or not.
type Faults struct {
	EvictedObjects     uint64 `json:"evicted_objects"`
	EvictedBytes       uint64 `json:"evicted_bytes"`
	LostObjects        uint64 `json:"lost_objects"`
	LostInstances      uint64 `json:"lost_instances"`
	FailedChunks       uint64 `json:"failed_chunks"`  // reads of a chunk
	RefusedChunks      uint64 `json:"refused_chunks"` // chunks that a node did not keep
	RepairedChunks     uint64 `json:"repaired_chunks"`
	FailedRepairs      uint64 `json:"failed_repairs"`
	Notices            uint64 `json:"notices"`        // instances that told of their end
	MovedChunks        uint64 `json:"moved_chunks"`   // away from nodes that end
	FalseHoldings      uint64 `json:"false_holdings"` // chunks that an instance named and that cannot be
	Stragglers         uint64 `json:"stragglers"`     // chunks too late for their stripe
	RefusedConnections uint64 `json:"refused_connections"`
}

// Backups are copies of nodes' chunks to second instances, since the start.
type Backups struct {
	Done   uint64 `json:"done"` // of one node each
	Failed uint64 `json:"failed"`
	Chunks uint64 `json:"chunks"` // copied
	Bytes  uint64 `json:"bytes"`  // of those
}

// Bill is what the pool's sessions cost that are over, since the start.
type Bill struct {
	Sessions uint64  `json:"sessions"`
	Seconds  float64 `json:"seconds"` // billed
	// Dollars is by the platform's list price. A platform that costs nothing, as
	// the embedded one, is counted as the service that it stands for.
	Dollars float64 `json:"dollars"`
	Tariff  string  `json:"tariff"` // whose prices those are
	// ByCause is the same by what sessions were for: serve, drain, repair,
	// backup, warm-up.
	ByCause map[string]Cost `json:"by_cause,omitempty"`
}

// Cost is what sessions of one cause cost.
type Cost struct {
	Sessions       uint64  `json:"sessions"`
	ColdStarts     uint64  `json:"cold_starts"`
	Seconds        float64 `json:"seconds"` // billed
	Dollars        float64 `json:"dollars"`
	DollarsPerHour float64 `json:"dollars_per_hour"` // in the last hour
}

// Breaker is what the limits on spending do.
type Breaker struct {
	// Open names the limit that forbids sessions now: invocations or dollars,
	// none if they may begin.
	Open string `json:"open"`
	// Trips and Refused count by limit how often it began to forbid, and how many
	// sessions it forbade.
	Trips   map[string]uint64 `json:"trips,omitempty"`
	Refused map[string]uint64 `json:"refused,omitempty"`
	// BookedDollars is what sessions cost that ended in the last hour,
	// ExpectedDollars what those that run are expected to.
	BookedDollars   float64 `json:"booked_dollars"`
	ExpectedDollars float64 `json:"expected_dollars"`
}

// Journal is what a restarted proxy will know.
type Journal struct {
	Failing   bool   `json:"failing"`    // it cannot be written now
	LastError string `json:"last_error"` // also when it works again
	Ops       uint64 `json:"ops"`        // changes written
	Failures  uint64 `json:"failures"`   // attempts to write
	Dropped   uint64 `json:"dropped"`    // moves of chunks given up for lack of room
	Queued    int    `json:"queued"`     // changes that wait
	FileBytes int64  `json:"file_bytes"` // size
}

// Node is one place of the pool. A platform without a proxy knows its number and
// its instances only.
type Node struct {
	Node          int     `json:"node"`
	State         string  `json:"state"`     // of its sessions, or Drained
	InFlight      int     `json:"in_flight"` // requests sent and not yet answered
	Queued        int     `json:"queued"`    // requests that wait for the node
	Sessions      uint64  `json:"sessions"`
	ColdStarts    uint64  `json:"cold_starts"`
	BilledSeconds float64 `json:"billed_seconds"`
	CapacityBytes int64   `json:"capacity_bytes"`
	HeldBytes     int64   `json:"held_bytes"` // of chunks, dead ones included
	DeadBytes     int64   `json:"dead_bytes"` // of chunks nobody needs, not yet let go
	// Holders is how many instances may hold something, as the proxy knows.
	Holders int `json:"holders"`
	// Instances are those that live now, if Status.InstancesListed.
	Instances []Instance `json:"instances,omitempty"`
}

// Instance is one process or container that plays a node.
type Instance struct {
	ID            string  `json:"id"` // the platform's
	State         string  `json:"state"`
	PID           int     `json:"pid,omitempty"`
	MemoryBytes   int64   `json:"memory_bytes"` // resident
	AgeSeconds    float64 `json:"age_seconds"`
	Sessions      int     `json:"sessions"`
	BilledSeconds float64 `json:"billed_seconds"`
}

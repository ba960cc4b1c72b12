package knative

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
)

// A Drainer empties nodes before their instances are replaced. It is the admin door
// of the pool's proxy.
type Drainer interface {
	// Drain moves what the nodes hold to others and has them left alone until they
	// are admitted; progress is told how far it has come. With an error the nodes go
	// on as before.
	Drain(ctx context.Context, nodes []int, progress func(done, total int)) error
	// Admit lets the nodes be used again. Those that are not drained stay as they are.
	Admit(ctx context.Context, nodes []int) error
}

// Config describes a deployment.
type Config struct {
	Pool *Pool
	// Cluster is how to reach the API server.
	Cluster *rest.Config
	// Drain empties nodes before they are replaced or taken. Nil: they lose what
	// they hold.
	Drain Drainer
	// AtOnce is how many nodes are replaced at the same time; 0 is 1.
	AtOnce int
	// Patience is how long a service or the proxy may take to become ready; 0 is
	// two minutes.
	Patience time.Duration
	// Every is how often it is looked whether it is; 0 is a second.
	Every time.Duration
	// Progress is told of what is being done, a line each; it may be nil.
	Progress func(line string)
}

// Deployer brings a cluster to where a pool file says it ought to be.
type Deployer struct {
	pool     *Pool
	cluster  *cluster
	drain    Drainer
	atOnce   int
	patience time.Duration
	every    time.Duration
	progress func(string)
}

// New makes a deployer. It asks nothing of the cluster yet.
func New(c Config) (*Deployer, error) {
	if c.AtOnce < 0 || c.Patience < 0 || c.Every < 0 {
		return nil, fmt.Errorf("at once %d, patience %v, every %v given, none below 0 allowed", c.AtOnce, c.Patience, c.Every)
	}
	cluster, err := newCluster(c.Cluster)
	if err != nil {
		return nil, err
	}
	d := &Deployer{c.Pool, cluster, c.Drain, max(c.AtOnce, 1), c.Patience, c.Every, c.Progress}
	if d.patience == 0 {
		d.patience = 2 * time.Minute
	}
	if d.every == 0 {
		d.every = time.Second
	}
	if d.progress == nil {
		d.progress = func(string) {}
	}
	return d, nil
}

// drainNodes empties nodes.
func (d *Deployer) drainNodes(ctx context.Context, nodes []int) error {
	d.tell("drain %s", nodeList(nodes))
	told := time.Now()
	err := d.drain.Drain(ctx, nodes, func(done, total int) {
		if time.Since(told) >= drainTold {
			told = time.Now()
			d.tell("drained %d of %d", done, total)
		}
	})
	if err != nil {
		return fmt.Errorf("drain %s: %w", nodeList(nodes), err)
	}
	return nil
}

// drainTold is how often it is told how far a drain has come.
const drainTold = 5 * time.Second

func (d *Deployer) tell(format string, args ...any) { d.progress(fmt.Sprintf(format, args...)) }

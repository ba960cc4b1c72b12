package lambda

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// MaxAtOnce is the most nodes that are updated at the same time: an object that
// was coded with two parity chunks bears two.
const MaxAtOnce = 2

// Drainer has a proxy move chunks away from nodes whose instances are about to
// end.
type Drainer interface {
	// Drain returns when the nodes hold nothing that is needed and are given
	// nothing new. A node that the proxy does not have holds nothing. With an
	// error the nodes are used as before.
	Drain(ctx context.Context, nodes []int) error
	// Admit has the nodes used again.
	Admit(ctx context.Context, nodes []int) error
	// Drained are the nodes that were drained and not admitted since. The error
	// tells, too, that the proxy is not this pool's.
	Drained(ctx context.Context) ([]int, error)
}

// Config says what is deployed, where and how.
type Config struct {
	Pool Pool
	// Archive is what functions run. Plan needs it.
	Archive *Archive
	// AWS gives region, credentials and, if it is not the public service, the
	// base endpoint.
	AWS aws.Config
	// Drainer has nodes drained before they are updated or deleted. With none,
	// they are not, and LoseObjects has to be set.
	Drainer Drainer
	// AtOnce is how many nodes are updated at the same time, 1 to MaxAtOnce; zero
	// means 1.
	AtOnce int
	// LoseObjects allows plans that lose what the cache holds.
	LoseObjects bool
	// Progress, if not nil, is told of every change that is made, done of total
	// so far, and of what is being done meanwhile. With a total of 0 it is told what
	// takes long. It is called by several goroutines.
	Progress func(done, total int, doing string)
}

// Deployer deploys one pool.
type Deployer struct {
	cfg   Config
	tempo tempo

	lambda *lambda.Client
	logs   *cloudwatchlogs.Client
	sts    *sts.Client // nil if this is not the public service
}

// New makes a Deployer, reporting every bad field at once. It makes no call.
func New(cfg Config) (*Deployer, error) { return newDeployer(cfg, usualTempo) }

func newDeployer(cfg Config, t tempo) (*Deployer, error) {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = 1
	}
	if cfg.Progress == nil {
		cfg.Progress = func(int, int, string) {}
	}
	var errs []error
	if cfg.AtOnce < 1 || cfg.AtOnce > MaxAtOnce {
		errs = append(errs, fmt.Errorf("field AtOnce: %d given, 1 to %d allowed", cfg.AtOnce, MaxAtOnce))
	}
	if cfg.AWS.Region == "" {
		errs = append(errs, errors.New("region: none given, neither in the pool file nor to the AWS SDK (AWS_REGION, or region in ~/.aws/config)"))
	}
	if cfg.AWS.Credentials == nil {
		errs = append(errs, errors.New("AWS.Credentials: none given"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	paced := &pacedClient{
		next: awshttp.NewBuildableClient().WithTimeout(t.patience), control: pacer{every: t.control}, read: pacer{every: t.read},
		trouble: func(text string) { cfg.Progress(0, 0, text) }, told: pacer{every: troubleEvery},
	}
	d := &Deployer{cfg: cfg, tempo: t}
	d.lambda = lambda.NewFromConfig(cfg.AWS, func(o *lambda.Options) {
		o.HTTPClient = paced
		o.Retryer = t.retryer()
	})
	d.logs = cloudwatchlogs.NewFromConfig(cfg.AWS, func(o *cloudwatchlogs.Options) {
		o.HTTPClient = paced
		o.Retryer = t.retryer()
	})
	if cfg.AWS.BaseEndpoint == nil {
		d.sts = sts.NewFromConfig(cfg.AWS, func(o *sts.Options) { o.HTTPClient = paced })
	}
	return d, nil
}

// Plan compares the pool file with what exists. It changes nothing.
func (d *Deployer) Plan(ctx context.Context) (Plan, error) {
	if d.cfg.Archive == nil {
		return Plan{}, errors.New("no program to deploy")
	}
	have, err := d.observe(ctx)
	if err != nil {
		return Plan{}, err
	}
	how := planning{drains: d.cfg.Drainer != nil, atOnce: d.cfg.AtOnce}
	var silence error
	if how.drains {
		how.drained, silence = d.cfg.Drainer.Drained(ctx)
	}
	plan, err := d.cfg.Pool.plan(have, d.cfg.Pool.wanted(d.cfg.Archive.hash), how)
	switch {
	case err != nil || silence == nil:
	case ctx.Err() != nil:
		return Plan{}, context.Cause(ctx)
	case plan.drains:
		return Plan{}, &Error{Kind: Undrained, Doing: "ask the proxy", Mend: mends[Undrained], Err: silence}
	default:
		plan.Notes = append(plan.Notes, fmt.Sprintf("the proxy does not tell whether it has drained nodes: %v", silence))
	}
	return plan, err
}

// PlanDestroy plans to delete every function that carries the pool's tag. It
// changes nothing, and needs no archive.
func (d *Deployer) PlanDestroy(ctx context.Context) (Plan, error) {
	have, err := d.observe(ctx)
	if err != nil {
		return Plan{}, err
	}
	return d.cfg.Pool.destruction(have), nil
}

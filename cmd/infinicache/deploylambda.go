package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/deploy"
	lambdadeploy "github.com/infinicache/infinicache/internal/deploy/lambda"
	"github.com/infinicache/infinicache/internal/platform/lambda"
)

// lambdaConfig is what the command line of a deployment to AWS Lambda says.
type lambdaConfig struct {
	pool       string // file
	endpoint   string // of another platform than the public one
	nodeBinary string

	dryRun, check, destroy bool   // instead of deploying
	policy                 string // print this one instead

	admin     string
	undrained bool
	atOnce    int
	yes       bool
	json      *bool
}

func newDeployLambda(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lambda",
		Short: "Deploy a pool to AWS Lambda",
		Long: `Bring an AWS account to where a pool file says it ought to be: a function for every
node, or one function for all of them in tenant-isolation mode. It changes what
differs and nothing else, so that it can be repeated, and goes on where it was
interrupted. What it makes it marks with the tag infinicache:pool, and what lacks
the tag it never touches.

An update of program or configuration ends a node's instances, with what they hold.
Nodes are drained through the proxy's --admin door, then updated, --at-once at a
time, then used again. One of the first has to answer a probe before others are
updated. With --undrained they lose what they hold, which parity and
replicas make up for as far as they go. One function for all nodes cannot be drained.

Credentials and region are found the AWS SDK's way. What the pool file says, the
policies that are needed, and how proxy and functions reach each other is in
docs/aws.md.

Exit codes: 0 the pool is as the file says (--check: nothing failed; --dry-run: the
plan is printed), 1 it is not, 2 the command line is wrong.`,
		Example: `  infinicache deploy lambda --pool pool.yaml --policy deployer
  infinicache deploy lambda --pool pool.yaml --check
  infinicache deploy lambda --pool pool.yaml --dry-run
  infinicache deploy lambda --pool pool.yaml --admin 10.0.0.5:9378
  infinicache deploy lambda --pool pool.yaml --destroy --yes`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := lambdaConfig{pool: "pool.yaml", atOnce: 1}
	c.declare(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if c.destroy && !c.yes && !c.dryRun && !isTerminal(con.in) {
			return &usageError{cmd.CommandPath(), errors.New("--destroy: given without --yes, and there is no terminal to ask at")}
		}
		return c.run(cmd.Context(), con)
	}
	return cmd
}

func (c *lambdaConfig) declare(f *flags) {
	set := f.cmd.Flags()
	parties := make([]string, len(lambdadeploy.Parties))
	for i, p := range lambdadeploy.Parties {
		parties[i] = string(p)
	}
	set.StringVar(&c.pool, "pool", c.pool, "`FILE` that describes the pool")
	set.BoolVar(&c.dryRun, "dry-run", false, "print what would change, and change nothing")
	set.BoolVar(&c.check, "check", false, "look whether the pool can be deployed and works, and say how to mend what does not")
	set.BoolVar(&c.destroy, "destroy", false, "delete every function that carries the pool's tag")
	add(f, &c.policy, "policy", choice(parties...), "print the least IAM policy of one party")
	add(f, &c.admin, "admin", dialable(), "the proxy's admin door, to drain nodes before they are updated or deleted")
	set.BoolVar(&c.undrained, "undrained", false, "update and delete nodes although what they hold is lost")
	add(f, &c.atOnce, "at-once", number(1, lambdadeploy.MaxAtOnce), "how many nodes are updated at the same time; no more than parity chunks")
	set.StringVar(&c.nodeBinary, "node-binary", "", "the node's program, a `FILE` for the pool's architecture (default: beside this program)")
	add(f, &c.endpoint, "endpoint", endpoint(), "a platform that speaks the same API elsewhere and checks no signatures")
	set.BoolVar(&c.yes, "yes", false, "with --destroy: do not ask")
	c.json = jsonFlag(f.cmd)
	f.together(func() {
		var modes []string
		for _, mode := range []struct {
			flag string
			on   bool
		}{{"--dry-run", c.dryRun && !c.destroy}, {"--check", c.check}, {"--destroy", c.destroy}, {"--policy", c.policy != ""}} {
			if mode.on {
				modes = append(modes, mode.flag)
			}
		}
		if len(modes) > 1 {
			f.complain("%s: given together, one of them allowed", strings.Join(modes, ", "))
		}
		if c.undrained && c.admin != "" {
			f.complain("--undrained: given with --admin")
		}
	})
}

func (c *lambdaConfig) run(ctx context.Context, con console) error {
	text, err := deploy.ReadFile(c.pool)
	if err != nil {
		return err
	}
	pool, err := lambdadeploy.Load(text)
	if err != nil {
		return fmt.Errorf("pool file %s:\n%w", c.pool, err)
	}
	if c.policy != "" {
		return printJSON(con.out, pool.Policy(lambdadeploy.Party(c.policy), pool.Region))
	}
	cfg := lambdadeploy.Config{Pool: pool, AtOnce: c.atOnce, LoseObjects: c.undrained}
	if cfg.AWS, err = c.aws(ctx, pool.Region); err != nil {
		return err
	}
	cfg.Archive, err = c.archive(pool.Architecture)
	if needed := !c.destroy && !c.check || c.nodeBinary != ""; err != nil && needed {
		return err
	}
	if c.admin != "" {
		client := admin.NewClient(c.admin)
		defer client.Close()
		cfg.Drainer = proxyDrainer{client, c.admin, pool.Prefix}
	}
	line := newStatusLine(con.err, false)
	cfg.Progress = func(done, total int, doing string) {
		if total > 0 {
			doing = fmt.Sprintf("%d of %d: %s", done, total, doing)
		}
		if line == nil {
			fmt.Fprintln(con.err, doing)
		}
		line.show("%s", doing)
	}
	d, err := lambdadeploy.New(cfg)
	if err != nil {
		return err
	}
	if c.check {
		findings, err := d.Check(ctx)
		line.clear()
		if err != nil {
			return err
		}
		return c.report(findings, con.out)
	}
	plan, err := c.plan(ctx, d)
	line.clear()
	if err != nil {
		return err
	}
	if err := c.show(con.out, plan); err != nil || c.dryRun || len(plan.Changes) == 0 {
		return err
	}
	if c.destroy && !c.yes {
		if err := confirm(con, fmt.Sprintf("Delete %d functions", len(plan.Changes))); err != nil {
			return err
		}
	}
	defer line.clear()
	return d.Apply(ctx, plan)
}

// aws finds credentials and region.
func (c *lambdaConfig) aws(ctx context.Context, region string) (aws.Config, error) {
	if c.endpoint != "" {
		cfg := lambda.Local(c.endpoint)
		cfg.Region = cmp.Or(region, cfg.Region)
		return cfg, nil
	}
	var options []func(*awsconfig.LoadOptions) error
	if region != "" {
		options = append(options, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("AWS configuration: %w", err)
	}
	return cfg, nil
}

func (c *lambdaConfig) archive(architecture string) (*lambdadeploy.Archive, error) {
	path, err := programFor(c.nodeBinary, architecture)
	if err != nil {
		return nil, err
	}
	return lambdadeploy.Pack(path, architecture)
}

func (c *lambdaConfig) plan(ctx context.Context, d *lambdadeploy.Deployer) (lambdadeploy.Plan, error) {
	if c.destroy {
		return d.PlanDestroy(ctx)
	}
	return d.Plan(ctx)
}

// show prints a plan.
func (c *lambdaConfig) show(w io.Writer, plan lambdadeploy.Plan) error {
	if *c.json {
		return printJSON(w, plan)
	}
	if err := deploy.WritePlan(w, plan.Changes); err != nil {
		return err
	}
	for _, note := range plan.Notes {
		if _, err := fmt.Fprintf(w, "note: %s\n", note); err != nil {
			return err
		}
	}
	return nil
}

// report prints what a check found. A failure is an error.
func (c *lambdaConfig) report(findings []lambdadeploy.Finding, w io.Writer) (err error) {
	if *c.json {
		err = printJSON(w, findings)
	} else {
		for _, f := range findings {
			text := fmt.Sprintf("%-8s %s: %s\n", f.Status, f.Subject, f.Found)
			if f.Mend != "" {
				text += fmt.Sprintf("         -> %s\n", f.Mend)
			}
			if _, err = io.WriteString(w, text); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	if lambdadeploy.Fails(findings) {
		failures := slices.DeleteFunc(findings, func(f lambdadeploy.Finding) bool { return f.Status != lambdadeploy.Failure })
		return fmt.Errorf("%d findings are failures", len(failures))
	}
	return nil
}

// confirm asks at the terminal.
func confirm(con console, what string) error {
	fmt.Fprintf(con.err, "%s? Type yes to go on: ", what)
	said, err := bufio.NewReader(io.LimitReader(con.in, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(said) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// proxyDrainer has the proxy behind an admin door drain nodes of a pool. Those that
// the proxy does not have, since its pool grew not yet or shrank before, hold
// nothing.
type proxyDrainer struct {
	client  *admin.Client
	address string
	prefix  string // of the pool
}

func (d proxyDrainer) Drain(ctx context.Context, nodes []int) error {
	nodes, err := d.known(ctx, nodes)
	if err != nil || len(nodes) == 0 {
		return err
	}
	return d.client.Drain(ctx, nodes, nil)
}

func (d proxyDrainer) Admit(ctx context.Context, nodes []int) error {
	nodes, err := d.known(ctx, nodes)
	if err != nil || len(nodes) == 0 {
		return err
	}
	return d.client.Admit(ctx, nodes)
}

func (d proxyDrainer) Drained(ctx context.Context) ([]int, error) {
	status, err := d.status(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []int
	for _, n := range status.Nodes {
		if n.State == admin.Drained {
			nodes = append(nodes, n.Node)
		}
	}
	return nodes, nil
}

func (d proxyDrainer) known(ctx context.Context, nodes []int) ([]int, error) {
	status, err := d.status(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n int) bool { return n >= len(status.Nodes) }), nil
}

// status refuses what is not the pool's proxy: draining another pool's nodes saves
// nothing.
func (d proxyDrainer) status(ctx context.Context) (admin.Status, error) {
	status, err := d.client.Status(ctx)
	switch {
	case err != nil:
		return status, err
	case status.Epoch == 0:
		return status, fmt.Errorf("--admin %s is the door of a platform, the proxy's wanted", d.address)
	case status.Prefix != "" && status.Prefix != d.prefix:
		return status, fmt.Errorf("--admin %s is the door of the pool %q, that of %q wanted", d.address, status.Prefix, d.prefix)
	}
	return status, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/deploy"
	"github.com/infinicache/infinicache/internal/deploy/knative"
)

// knativeConfig is what the command line of a deployment to Knative says.
type knativeConfig struct {
	pool    string // file
	context string // of KUBECONFIG; empty: the current one

	print, dryRun, check, destroy, policy bool // instead of deploying

	withData  bool
	cloudRun  bool
	admin     string
	undrained bool
	atOnce    int
	patience  time.Duration
	json      *bool
}

func newDeployKnative(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "knative",
		Short: "Deploy a pool to Knative, on any Kubernetes",
		Long: `Bring a cluster to where a pool file says it ought to be: a Knative service for
every node, and the proxy with its volume. It changes what differs and nothing
else, so that it can be repeated, and goes on where it was interrupted.

Nodes whose pods a change replaces are drained through the proxy's admin door, then
updated --at-once at a time, each waited for until it is ready. Ask for the door by

  kubectl port-forward service/PREFIX-proxy 9378 &

and give --admin 127.0.0.1:9378. With --undrained they are not: then the proxy has old
pods hand over to new ones as long as both are there, and what is left is lost.

What is to replace the proxy is tried beside it before anything is changed: an image
that is missing, or does not know a flag, ends the deployment there.

What the pool file says, what each way to keep memory costs, and how Cloud Run is
used, is in docs/kubernetes.md. The cluster is that of the current context of
KUBECONFIG, or of --context.

Exit codes: 0 the pool is deployed and ready (--check: all is well), 1 it is not.`,
		Example: `  infinicache deploy knative --pool pool.yaml --check
  infinicache deploy knative --pool pool.yaml --dry-run
  infinicache deploy knative --pool pool.yaml --admin 127.0.0.1:9378
  infinicache deploy knative --pool pool.yaml --print | kubectl apply -f -`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := knativeConfig{pool: "pool.yaml", atOnce: 1, patience: 2 * time.Minute}
	c.declare(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context(), con) }
	return cmd
}

func (c *knativeConfig) declare(f *flags) {
	set := f.cmd.Flags()
	set.StringVar(&c.pool, "pool", c.pool, "`FILE` that describes the pool")
	set.StringVar(&c.context, "context", "", "`NAME` of the context of KUBECONFIG to use (default: the current one)")
	set.BoolVar(&c.dryRun, "dry-run", false, "print what would change, and change nothing")
	set.BoolVar(&c.print, "print", false, "print all objects as YAML, without asking a cluster")
	set.BoolVar(&c.check, "check", false, "look whether the pool can be deployed there and works, and say how to mend what does not")
	set.BoolVar(&c.policy, "policy", false, "print the roles with the least permissions that a deployment needs")
	set.BoolVar(&c.destroy, "destroy", false, "delete the pool, but for the proxy's volume")
	set.BoolVar(&c.withData, "with-data", false, "with --destroy: delete the proxy's volume, too, and with it the pool's secret")
	set.BoolVar(&c.cloudRun, "cloud-run", false, "with --print: print the nodes' services for Cloud Run")
	set.StringVar(&c.admin, "admin", "", "`ADDR` of the proxy's admin door, to drain nodes before they are replaced")
	set.BoolVar(&c.undrained, "undrained", false, "replace and delete nodes without draining them, although what they hold may be lost")
	add(f, &c.atOnce, "at-once", number(1, knative.ManyNodes), "how many nodes are replaced at the same time")
	add(f, &c.patience, "patience", duration(time.Second, time.Hour), "how long a service may take to become ready, and a next old pod to go before the proxy restarts")
	c.json = jsonFlag(f.cmd)
	f.together(func() {
		modes := []string{}
		for _, mode := range []struct {
			flag string
			on   bool
		}{{"--dry-run", c.dryRun && !c.destroy}, {"--print", c.print}, {"--check", c.check}, {"--policy", c.policy}, {"--destroy", c.destroy}} {
			if mode.on {
				modes = append(modes, mode.flag)
			}
		}
		if len(modes) > 1 {
			f.complain("%s: given together, one of them allowed", strings.Join(modes, ", "))
		}
		if c.withData && !c.destroy {
			f.complain("--with-data: given without --destroy")
		}
		if c.cloudRun && !c.print {
			f.complain("--cloud-run: given without --print")
		}
		if c.undrained && c.admin != "" {
			f.complain("--undrained: given with --admin")
		}
		if *c.json && (c.print || c.policy) {
			f.complain("--json: given with --print or --policy, which print YAML")
		}
	})
}

func (c *knativeConfig) run(ctx context.Context, con console) error {
	text, err := deploy.ReadFile(c.pool)
	if err != nil {
		return err
	}
	pool, err := knative.Decode(text)
	if err != nil {
		return fmt.Errorf("pool file %s:\n%w", c.pool, err)
	}
	if err := checkProxyFlags(c.pool, pool); err != nil {
		return fmt.Errorf("pool file %s: proxyFlags: %w", c.pool, err)
	}
	switch {
	case c.policy:
		return knative.WriteYAML(con.out, pool.DeployerRoles())
	case c.print && c.cloudRun:
		services, err := pool.CloudRunServices()
		if err != nil {
			return fmt.Errorf("pool file %s, for Cloud Run:\n%w", c.pool, err)
		}
		return knative.WriteYAML(con.out, services)
	case c.print:
		return knative.WriteYAML(con.out, pool.Objects())
	case pool.CloudRun != nil:
		return fmt.Errorf("pool file %s is for Cloud Run, which has no place for the proxy: use --cloud-run --print", c.pool)
	}
	d, done, err := c.deployer(pool, con)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case c.check:
		return c.report(ctx, d, con)
	case c.destroy:
		plan, err := d.PlanDestroy(ctx, c.withData)
		if err != nil {
			return err
		}
		return c.carryOut(ctx, plan, d.Destroy, con)
	}
	plan, err := d.Plan(ctx)
	if err != nil {
		return err
	}
	if nodes := plan.Restarts(); len(nodes) > 0 && c.admin == "" && !c.undrained && !c.dryRun {
		return fmt.Errorf("%d nodes may lose what they hold: give --admin, or --undrained (--dry-run says what changes)", len(nodes))
	}
	return c.carryOut(ctx, plan, d.Apply, con)
}

// checkProxyFlags reads a pool's flags of the proxy as the proxy would, which would end
// at what it does not understand, and leave the pool without one.
func checkProxyFlags(file string, pool *knative.Pool) error {
	cmd := newProxy(console{})
	args := append([]string{"--pool=" + file, "--key-file=key", "--advertise=" + pool.Advertised()}, pool.ProxyFlags...)
	if err := cmd.ParseFlags(args); err != nil {
		return errors.New(err.Error()) // of --help, too, which is not for this command then
	}
	if len(cmd.Flags().Args()) > 0 {
		return fmt.Errorf("%q is no flag", cmd.Flags().Args())
	}
	return cmd.PreRunE(cmd, nil)
}

// deployer makes one for the cluster of KUBECONFIG.
func (c *knativeConfig) deployer(pool *knative.Pool, con console) (d *knative.Deployer, done func(), err error) {
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.context}
	cluster, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), overrides).ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("no cluster to deploy to: see KUBECONFIG and --context: %w", err)
	}
	cluster.UserAgent = "infinicache/" + version
	config := knative.Config{
		Pool: pool, Cluster: cluster, AtOnce: c.atOnce, Patience: c.patience,
		Progress: func(line string) { fmt.Fprintln(con.err, line) },
	}
	done = func() {}
	if c.admin != "" {
		client := admin.NewClient(c.admin)
		done = client.Close
		config.Drain = client
	}
	d, err = knative.New(config)
	return d, done, err
}

// carryOut shows a plan and, unless it is a dry run, does what it says.
func (c *knativeConfig) carryOut(ctx context.Context, plan *knative.Plan, do func(context.Context, *knative.Plan) error, con console) error {
	show := deploy.WritePlan
	if *c.json {
		show = func(w io.Writer, changes []deploy.Change) error { return printJSON(w, changes) }
	}
	if err := show(con.out, plan.Changes()); err != nil || c.dryRun {
		return err
	}
	return do(ctx, plan)
}

// report prints what a check found. A failure is an error.
func (c *knativeConfig) report(ctx context.Context, d *knative.Deployer, con console) error {
	found := d.Check(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	failed := len(slices.DeleteFunc(slices.Clone(found), func(f knative.Finding) bool { return f.Level != knative.Failure }))
	if *c.json {
		if err := printJSON(con.out, found); err != nil {
			return err
		}
	} else if err := printFindings(con.out, found); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(found))
	}
	return nil
}

func printFindings(w io.Writer, found []knative.Finding) error {
	for _, f := range found {
		line := fmt.Sprintf("%-8s %s: %s\n", f.Level, f.About, f.What)
		if f.Mend != "" {
			line += fmt.Sprintf("         -> %s\n", f.Mend)
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

package main

import "github.com/spf13/cobra"

func newUp(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a cache on this machine until Ctrl-C",
		Long: `Run a cache in the foreground: an embedded function platform whose functions are
processes of this machine, frozen while nobody needs them; the proxy that owns
them; and its doors. When it serves it prints one line on standard output,

    ready client=ADDR redis=ADDR admin=ADDR

and logs to standard error. Ctrl-C ends the doors, then the proxy, then the
platform with every process that it started; a second one ends it at once.

Each node holds what its memory leaves beside the program itself. The reclaim
flags have the platform take idle instances away as a real one does. Without them
nothing is lost by idling, so that idle nodes are kept warm, every minute unless
--warm-every says otherwise, only with them. Backups to second instances of nodes
double the processes and are made only with --backup-every.

How long a node stays awake after its last request (--linger) is a time, or
follows from the price (--price) of the service that the embedded platform stands
for. "paper" returns shortly before the billing quantum ends and buys one more
when two or more requests came in it; it needs a quantum above 10 ms. "break-even"
stays as long as that costs what waking again would, and "break-even:0.01" counts
a second that a request waits as a cent.

--max-invocations and --max-dollars limit what all sessions cost; when a limit
forbids one, its node stays asleep, reads that cannot do without it are misses, and
writes that need it are refused. Nodes that are awake go on serving.`,
		Example: `  infinicache up
  infinicache up --nodes 40 --memory 512MiB --shape 10+2
  infinicache up --price lambda-100ms --linger paper
  infinicache up --linger break-even:0.01
  infinicache up --reclaim-rate 60 --notice 10s --reuse random                  # an unkind platform
  infinicache up --client 127.0.0.1:0 --redis 127.0.0.1:0 --admin 127.0.0.1:0   # free ports
  redis-cli -p 6378 SET greeting hello`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := systemConfig{functions: defaultFunctions(), servingConfig: defaultServing()}
	platform, proxy := defaultPlatform(), defaultProxy()
	platform.cutLinks = 0.1
	proxy.warmEvery, proxy.backupEvery = 0, 0
	c.functions.declare(f, 1)
	proxy.declare(f, &c.functions)
	platform.declare(f)
	add(f, &platform.cutLinks, "cut-links", real(0, 1, false), "share of freezes that cut an instance's connections")
	c.servingConfig.declare(f)
	f.together(func() {
		if !cmd.Flags().Changed("warm-every") && platform.reclaims() {
			proxy.warmEvery = defaultProxy().warmEvery
		}
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if platform.nodeBinary, err = nodeProgram(cmd.Context(), platform.nodeBinary); err != nil {
			return err
		}
		c.platform, c.proxy = &platform, &proxy
		return serve(cmd.Context(), c, con)
	}
	return cmd
}

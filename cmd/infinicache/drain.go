package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/admin"
)

func newPoolDrain(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain NODE...",
		Short: "Empty nodes, so that they can be replaced",
		Long: `Move all that the nodes hold to the others, hottest first. Then the nodes hold
nothing and are given nothing, until "infinicache pool admit": their functions can
be updated meanwhile, and nothing is lost. Objects are evicted if the others have
not enough room. "infinicache nodes" shows who is drained. A proxy that is started
again has no drained nodes.

Ask the admin door of the proxy. Ctrl-C gives the drain up, and the nodes go on as
before.

Exit codes: 0 the nodes are drained, 1 they are not, 2 NODE is no number of a node.`,
		Example: `  infinicache pool drain 3 4
  infinicache pool admit 3 4`,
		Args: between(1, -1, "one NODE or more"),
	}
	address, progress := adminFlag(cmd), progressFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		nodes, err := nodeArgs(cmd, args)
		if err != nil {
			return err
		}
		client := admin.NewClient(*address)
		defer client.Close()
		line := newStatusLine(con.err, *progress)
		defer line.clear()
		line.show("draining")
		err = client.Drain(cmd.Context(), nodes, func(done, total int) {
			line.show("draining: %d of %d", done, total)
		})
		line.clear()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(con.out, "drained:", strings.Join(args, " "))
		return err
	}
	return cmd
}

func newPoolAdmit(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admit NODE...",
		Short: "Give drained nodes back to their pool",
		Long: `Have nodes that are drained take load again. Nodes that are not drained stay as
they are.

Exit codes: 0 the nodes take load, 1 nothing changed, 2 NODE is no number of a node.`,
		Example: "  infinicache pool admit 3 4",
		Args:    between(1, -1, "one NODE or more"),
	}
	address := adminFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		nodes, err := nodeArgs(cmd, args)
		if err != nil {
			return err
		}
		client := admin.NewClient(*address)
		defer client.Close()
		if err := client.Admit(cmd.Context(), nodes); err != nil {
			return err
		}
		_, err = fmt.Fprintln(con.out, "admitted:", strings.Join(args, " "))
		return err
	}
	return cmd
}

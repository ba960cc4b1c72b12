package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/admin"
)

func newPool(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "pool",
		Short:   "Change a pool",
		Long:    "Change a pool while it serves. See \"infinicache nodes\" for what it is.",
		Example: "  infinicache pool resize 20\n  infinicache pool drain 3 4",
		Args:    between(0, 0, "a command of pool"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{cmd.CommandPath(), errors.New("none of its commands given")}
		},
	}
	cmd.AddCommand(newPoolResize(con), newPoolDrain(con), newPoolAdmit(con))
	return cmd
}

// resizeReport is what pool resize --json prints.
type resizeReport struct {
	Before int `json:"before"` // nodes
	Nodes  int `json:"nodes"`
}

func newPoolResize(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resize N",
		Short: "Give a pool more or fewer nodes",
		Long: `Make a pool have N nodes, 1 to 4096. New nodes take load at once. The nodes with
the highest numbers leave, after what they hold has moved to others.

Where platform and proxy run in one process (infinicache up) both are resized.
Where they do not, ask the admin door of each: the platform first to grow, the
proxy first to shrink. Ctrl-C stops a resize where it is; the same command goes
on with it.

Exit codes: 0 the pool has N nodes, 1 it has not, 2 N is no such number.`,
		Example: `  infinicache pool resize 20
  infinicache pool resize 20 --admin ` + defaultPlatformAdmin + `                 # of infinicache platform
  infinicache pool resize 12 --json`,
		Args: between(1, 1, "N"),
	}
	address, asJSON, progress := adminFlag(cmd), jsonFlag(cmd), progressFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := number(1, admin.MaxNodes)
		nodes, ok := n.parse(args[0])
		if !ok {
			return &usageError{cmd.CommandPath(), fmt.Errorf("argument N: %q given, %s allowed", args[0], n.allowed)}
		}
		client := admin.NewClient(*address)
		defer client.Close()
		line := newStatusLine(con.err, *progress)
		defer line.clear()
		line.show("resizing")
		before, err := client.Resize(cmd.Context(), nodes, func(done, total int) {
			line.show("resizing: %d of %d", done, total)
		})
		line.clear()
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(con.out, resizeReport{before, nodes})
		}
		_, err = fmt.Fprintf(con.out, "%d nodes, %d before\n", nodes, before)
		return err
	}
	return cmd
}

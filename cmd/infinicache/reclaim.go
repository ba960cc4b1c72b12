package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/admin"
)

func newReclaim(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reclaim NODE...",
		Short: "Take nodes' instances away",
		Long: `Take all instances of the nodes away, with what they hold, as a platform does
when it needs the memory. An instance that asked for it hears of its end before,
by the platform's --notice; --kill leaves that out. Only the embedded platform
takes this order: ask the admin door of "infinicache up" or "infinicache
platform".`,
		Example: `  infinicache reclaim 3 11
  infinicache reclaim 3 --kill`,
		Args: between(1, -1, "one NODE or more"),
	}
	address := adminFlag(cmd)
	kill := cmd.Flags().Bool("kill", false, "without notice")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		nodes, err := nodeArgs(cmd, args)
		if err != nil {
			return err
		}
		client := admin.NewClient(*address)
		defer client.Close()
		taken, err := client.Reclaim(cmd.Context(), nodes, *kill)
		for _, n := range taken {
			fmt.Fprintf(con.out, "node %d: %d reclaimed\n", n.Node, n.Instances)
		}
		return err
	}
	return cmd
}

// nodeArgs reads the arguments of a command that are numbers of nodes.
func nodeArgs(cmd *cobra.Command, args []string) (nodes []int, err error) {
	var errs []error
	for _, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 0 {
			errs = append(errs, fmt.Errorf("NODE: %q given, a number from 0 on allowed", arg))
		}
		nodes = append(nodes, n)
	}
	if len(nodes) > admin.MaxNodes {
		errs = append(errs, fmt.Errorf("%d nodes given, at most %d allowed", len(nodes), admin.MaxNodes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	return nodes, nil
}

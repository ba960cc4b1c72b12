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
when it needs the memory. Only the embedded platform takes this order.`,
		Example: "  infinicache reclaim 3 11",
		Args:    between(1, -1, "one NODE or more"),
	}
	address := adminFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var nodes []int
		var errs []error
		for _, arg := range args {
			n, err := strconv.Atoi(arg)
			if err != nil || n < 0 {
				errs = append(errs, fmt.Errorf("NODE: %q given, a number from 0 on allowed", arg))
			}
			nodes = append(nodes, n)
		}
		if err := errors.Join(errs...); err != nil {
			return &usageError{cmd.CommandPath(), err}
		}
		client := admin.NewClient(*address)
		defer client.Close()
		for _, n := range nodes {
			taken, err := client.Reclaim(cmd.Context(), n)
			if err != nil {
				errs = append(errs, fmt.Errorf("node %d: %w", n, err))
				continue
			}
			fmt.Fprintf(con.out, "node %d: %d reclaimed\n", n, taken)
		}
		return errors.Join(errs...)
	}
	return cmd
}

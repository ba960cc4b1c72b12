package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newDel(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "del KEY...",
		Short: "Delete objects",
		Long: `Delete objects and print how many there were. A key that has none is no
failure.`,
		Example: "  infinicache del layer/4f2a backup/today",
		Args:    between(1, -1, "one KEY or more"),
	}
	proxies := proxyFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := dial(cmd, *proxies)
		if err != nil {
			return err
		}
		defer client.Close()
		deleted := 0
		var errs []error
		for _, key := range args {
			existed, err := client.Delete(cmd.Context(), key)
			if err != nil {
				errs = append(errs, err)
			} else if existed {
				deleted++
			}
		}
		fmt.Fprintln(con.out, deleted)
		return errors.Join(errs...)
	}
	return cmd
}

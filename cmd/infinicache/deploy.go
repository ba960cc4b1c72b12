package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newDeploy(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Deploy a pool to a platform",
		Args:  between(0, 0, "a platform"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{cmd.CommandPath(), errors.New("no platform given")}
		},
	}
	cmd.AddCommand(newDeployLambda(con), newDeployKnative(con))
	return cmd
}

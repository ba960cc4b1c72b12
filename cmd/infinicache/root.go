package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
)

// Exit codes, which scripts may rely on.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // the command line is wrong; nothing was done
	exitMiss    = 3 // get, stat: the cache does not have the object
)

// console is where a command reads and writes.
type console struct {
	in       *os.File
	out, err io.Writer
}

// usageError is about the command line itself.
type usageError struct {
	command string // whose help says more
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, con console) int {
	root := newRoot(con)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var usage *usageError
	switch {
	case errors.As(err, &usage):
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(con.err, "infinicache: %s\n", strings.TrimSuffix(line, "\n"))
		}
		fmt.Fprintf(con.err, "Run '%s --help' for what is allowed.\n", usage.command)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(con.err, "infinicache: interrupted")
		return exitFailure
	}
	fmt.Fprintln(con.err, "infinicache:", err)
	if errors.Is(err, infinicache.ErrNotFound) {
		return exitMiss
	}
	return exitFailure
}

func newRoot(con console) *cobra.Command {
	root := &cobra.Command{
		Use:   "infinicache",
		Short: "An object cache in the idle memory of serverless functions",
		Long: `InfiniCache keeps objects in the memory of functions that a platform has frozen
and that cost nothing meanwhile, erasure-coded over many of them, and wakes only
those that a request needs.

Exit codes: 0 success, 1 failure, 2 wrong command line, 3 a miss (get, stat).`,
		Example: `  infinicache up                                 # a cache on this machine
  infinicache put layer/4f2a layer.tar.gz        # in another terminal
  infinicache get layer/4f2a -o copy.tar.gz
  infinicache nodes`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			err := fmt.Errorf("%q is not a command", args[0])
			if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
				err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(like, " or "))
			}
			return &usageError{cmd.CommandPath(), err}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(con.in)
	root.SetOut(con.out)
	root.SetErr(con.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	root.AddCommand(
		newUp(con), newPlatform(con), newProxy(con),
		newPut(con), newGet(con), newDel(con), newStat(con),
		newNodes(con), newReclaim(con), newPool(con),
		newBench(con), newReplay(con), newDeploy(con),
		newVersion(con),
	)
	return root
}

// between makes the check that a command has that many arguments.
func between(least, most int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return &usageError{cmd.CommandPath(), fmt.Errorf("%d arguments given, %s wanted", len(args), want)}
		}
		return nil
	}
}

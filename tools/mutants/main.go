// Command mutants shows that the tests can fail. It copies the tree, changes one
// small thing at a time for the worse, and runs the tests that must notice.
//
//	go run ./mutants [-root DIR] [-run REGEXP] [-list] [-workers N] [-timeout D]
//
// It exits with 1 if a mutant survives, and with 2 if one cannot be judged: its
// text is not found exactly once, it does not build, or its tests fail without it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	root := flag.String("root", "..", "the tree to copy")
	only := flag.String("run", "", "only mutants whose name matches this regular expression")
	list := flag.Bool("list", false, "list the mutants and check that their texts are there")
	workers := flag.Int("workers", 2, "how many mutants at a time, each in a copy of its own")
	timeout := flag.Duration("timeout", 3*time.Minute, "how long the tests of a mutant may take; longer counts as noticing")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, *root, *only, *list, *workers, *timeout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		code = 2
	}
	os.Exit(code)
}

func run(ctx context.Context, root, only string, list bool, workers int, timeout time.Duration) (int, error) {
	match, err := regexp.Compile(only)
	if err != nil {
		return 2, err
	}
	var chosen []mutant
	var wrong []error
	for _, m := range mutants {
		if match.MatchString(m.name) {
			chosen = append(chosen, m)
			wrong = append(wrong, m.check(root))
		}
	}
	if list {
		for _, m := range chosen {
			fmt.Printf("%-45s %s\n", m.name, m.file)
		}
	}
	if err := errors.Join(wrong...); err != nil || list {
		return 0, err
	}
	began := time.Now()
	verdicts, err := judgeAll(ctx, root, chosen, workers, timeout)
	if err != nil {
		return 2, err
	}
	return report(verdicts, time.Since(began)), nil
}

// judgeAll judges mutants in copies of the tree, after it has seen that their
// tests pass without them.
func judgeAll(ctx context.Context, root string, chosen []mutant, workers int, timeout time.Duration) ([]verdict, error) {
	copies := make(chan *tree, workers)
	for range min(workers, len(chosen)) {
		t, err := copyTree(root)
		if err != nil {
			return nil, err
		}
		defer t.remove()
		copies <- t
	}
	verdicts := make([]verdict, len(chosen))
	var all sync.WaitGroup
	for i, m := range chosen {
		t := <-copies
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			verdicts[i] = m.judge(ctx, t, timeout)
			fmt.Printf("%-9s %-45s %6.1fs  %s\n", verdicts[i].fate, m.name, verdicts[i].took.Seconds(), verdicts[i].by)
			copies <- t
		})
	}
	all.Wait()
	return verdicts, ctx.Err()
}

// report prints the verdicts and returns the exit code.
func report(verdicts []verdict, took time.Duration) int {
	count := map[fate]int{}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nmutant\tfate\tnoticed by\tseconds")
	for _, v := range verdicts {
		count[v.fate]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\n", v.mutant.name, v.fate, v.by, v.took.Seconds())
	}
	w.Flush()
	for _, v := range verdicts {
		if v.fate == invalid {
			fmt.Printf("\n%s cannot be judged:\n%s\n", v.mutant.name, v.output)
		}
	}
	fmt.Printf("\n%d mutants: %d killed, %d survived, %d cannot be judged, %v\n", len(verdicts),
		count[killed], count[survived], count[invalid], took.Round(time.Second))
	switch {
	case count[invalid] > 0:
		return 2
	case count[survived] > 0:
		return 1
	}
	return 0
}

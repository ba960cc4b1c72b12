package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
	"github.com/infinicache/infinicache/internal/object"
	"github.com/infinicache/infinicache/internal/placement"
)

func shape() kind[object.Shape] {
	return kind[object.Shape]{
		"SHAPE", fmt.Sprintf("auto, or data+parity chunks like 10+2, %d at most together,", placement.MaxChunks),
		func(s string) (object.Shape, bool) {
			shape, err := placement.ParseShape(s)
			return shape, err == nil
		},
		placement.FormatShape,
	}
}

func newPut(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put KEY [FILE|-]",
		Short: "Store an object",
		Long: `Store a file, or standard input, under a key, in place of what is there.

The object appears when all of it is stored; a put that fails leaves the key as
it was. With --encryption-key-file nodes see its ciphertext only.`,
		Example: `  infinicache put layer/4f2a layer.tar.gz
  tar cz . | infinicache put backup/today --ttl 24h`,
		Args: between(1, 2, "KEY and perhaps FILE"),
	}
	f := flagsOf(cmd)
	var ttl time.Duration
	var want object.Shape
	proxies, keyFile, progress := proxyFlag(cmd), clientKeyFlag(cmd), progressFlag(cmd)
	add(f, &ttl, "ttl", duration(time.Millisecond, 100*365*24*time.Hour), "time until the object expires (default: never)")
	add(f, &want, "shape", shape(), "data+parity chunks, or auto for what suits size and pool")
	ifAbsent := cmd.Flags().Bool("if-absent", false, "store only if the key has no object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var opts []infinicache.PutOption
		if ttl > 0 {
			opts = append(opts, infinicache.WithTTL(ttl))
		}
		if want != placement.Auto {
			opts = append(opts, infinicache.WithShape(want.Data, want.Parity))
		}
		if *ifAbsent {
			opts = append(opts, infinicache.IfAbsent())
		}
		file := con.in
		if len(args) == 2 && args[1] != "-" {
			opened, err := os.Open(args[1])
			if err != nil {
				return err
			}
			defer opened.Close()
			file = opened
		}
		client, err := dialWith(cmd, *proxies, *keyFile)
		if err != nil {
			return err
		}
		defer client.Close()
		line := newStatusLine(con.err, *progress)
		defer line.clear()
		got, err := put(cmd.Context(), client, args[0], file, line, opts)
		line.clear()
		if err == nil && want != placement.Auto && got != want {
			fmt.Fprintf(con.err, "infinicache: the pool has too few nodes for %s: stored as %s\n",
				placement.FormatShape(want), placement.FormatShape(got))
		}
		return err
	}
	return cmd
}

// put stores what remains of a file and returns the shape that it got.
func put(ctx context.Context, client *infinicache.Client, key string, file *os.File, line *statusLine, opts []infinicache.PutOption) (got object.Shape, err error) {
	size, err := remaining(file)
	if err != nil {
		return got, err
	}
	// Reading from a terminal or a pipe is not interrupted by a context.
	stop := context.AfterFunc(ctx, func() { file.Close() })
	defer stop()
	info, err := client.Put(ctx, key, newTransfer(line, "put", size).reading(file), size, opts...)
	switch {
	case errors.Is(err, infinicache.ErrCondition):
		err = fmt.Errorf("put %.64q: the key has an object already", key)
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return object.Shape{Data: info.Shape.Data, Parity: info.Shape.Parity}, err
}

// remaining is how many bytes of a file are left to read, -1 if that shows only
// at its end: of pipes, and of regular files that claim to be empty, as those of /proc
// do that are not.
func remaining(file *os.File) (int64, error) {
	st, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if st.IsDir() {
		return 0, fmt.Errorf("%s is a directory", file.Name())
	}
	if !st.Mode().IsRegular() {
		return -1, nil
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	if st.Size() <= at {
		return -1, nil
	}
	return st.Size() - at, nil
}

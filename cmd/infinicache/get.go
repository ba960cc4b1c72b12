package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
)

// span is a range of bytes.
type span struct {
	off, n int64 // n is negative for all that follow
}

// spanOf reads first-last, both included, or first-.
func spanOf() kind[span] {
	return kind[span]{
		"FIRST-[LAST]", "bytes counted from 0, like 0-1023 or 4096-,",
		func(s string) (span, bool) {
			first, last, found := strings.Cut(s, "-")
			off, err := strconv.ParseUint(first, 10, 63)
			if !found || err != nil {
				return span{}, false
			}
			if last == "" {
				return span{int64(off), -1}, true
			}
			end, err := strconv.ParseUint(last, 10, 62)
			return span{int64(off), int64(end) - int64(off) + 1}, err == nil && end >= off
		},
		func(s span) string { return "" },
	}
}

func newGet(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Read an object",
		Long: `Write an object to standard output, or to a file, which appears when all of it
is there. Every byte was checked before it is written.

An encrypted object needs the key that it was put with.

A miss exits with code 3, says why on standard error, and leaves no file.`,
		Example: `  infinicache get layer/4f2a -o layer.tar.gz
  infinicache get backup/today | tar xz
  infinicache get video --range 0-1048575 | file -`,
		Args: between(1, 1, "KEY"),
	}
	f := flagsOf(cmd)
	part := span{0, -1}
	proxies, keyFile, progress := proxyFlag(cmd), clientKeyFlag(cmd), progressFlag(cmd)
	output := cmd.Flags().StringP("output", "o", "", "`FILE` to write instead of standard output")
	add(f, &part, "range", spanOf(), "only these bytes, the last one included")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := dialWith(cmd, *proxies, *keyFile)
		if err != nil {
			return err
		}
		defer client.Close()
		obj, err := client.Get(cmd.Context(), args[0], infinicache.Range(part.off, part.n))
		if err != nil {
			return err
		}
		defer obj.Close()
		total := max(obj.Info().Size-part.off, 0)
		if part.n >= 0 {
			total = min(total, part.n)
		}
		line := newStatusLine(con.err, *progress)
		defer line.clear()
		show := newTransfer(line, "get", total)
		if *output == "" || *output == "-" {
			_, err := io.Copy(show.writing(con.out), obj)
			return err
		}
		return writeFile(*output, func(w io.Writer) error {
			_, err := io.Copy(show.writing(w), obj)
			return err
		})
	}
	return cmd
}

// writeFile makes a file of what write writes. A file of that name is replaced
// when all was written, and left as it is otherwise; a device or pipe is written
// to directly.
func writeFile(name string, write func(io.Writer) error) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		if st.IsDir() {
			return fmt.Errorf("%s is a directory", name)
		}
		out, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return finish(write(out), out.Close())
	}
	// With the mode that the user's umask gives, unlike those of os.CreateTemp.
	temporary := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text()[:8])
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	err = finish(write(out), out.Close())
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		os.Remove(temporary)
	}
	return err
}

// finish is the first of two errors.
func finish(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

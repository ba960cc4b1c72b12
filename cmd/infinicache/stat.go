package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
)

// objectInfo is an object as stat --json prints it.
type objectInfo struct {
	Key       string     `json:"key"`
	Version   uint64     `json:"version"`
	Size      int64      `json:"size"` // bytes
	Shape     string     `json:"shape"`
	Encrypted bool       `json:"encrypted"`
	Stored    time.Time  `json:"stored"`
	Expires   *time.Time `json:"expires"` // null: never
}

func newStat(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stat KEY",
		Short: "Describe an object without reading it",
		Long: `Print size, shape, age and expiry of an object, and whether it is encrypted, which
needs no key. A miss exits with code 3.`,
		Example: "  infinicache stat layer/4f2a --json",
		Args:    between(1, 1, "KEY"),
	}
	proxies, asJSON := proxyFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := dial(cmd, *proxies)
		if err != nil {
			return err
		}
		defer client.Close()
		info, err := client.Stat(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(con.out, describe(info))
		}
		expires := "never"
		if !info.Expires.IsZero() {
			expires = info.Expires.Format(time.RFC3339)
		}
		_, err = fmt.Fprintf(con.out, "key      %s\nsize     %d\nshape    %s\nversion  %d\nstored   %s\nexpires  %s\n",
			info.Key, info.Size, info.Shape, info.Version, info.Stored.Format(time.RFC3339), expires)
		if err == nil && info.Encrypted {
			_, err = fmt.Fprintln(con.out, "encrypted")
		}
		return err
	}
	return cmd
}

func describe(info infinicache.Info) objectInfo {
	o := objectInfo{
		Key: info.Key, Version: info.Version, Size: info.Size,
		Shape: info.Shape.String(), Encrypted: info.Encrypted, Stored: info.Stored,
	}
	if !info.Expires.IsZero() {
		o.Expires = &info.Expires
	}
	return o
}

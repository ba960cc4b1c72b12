package main

import (
	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache"
)

const (
	defaultClient = "127.0.0.1:6377"
	defaultRedis  = "127.0.0.1:6378"
	defaultAdmin  = "127.0.0.1:9378"
)

// proxyFlag declares --proxy.
func proxyFlag(cmd *cobra.Command) *[]string {
	return cmd.Flags().StringSlice("proxy", []string{defaultClient}, "`ADDR` of the proxy; all of them if the cache has several")
}

// dial makes the client of a command. The caller closes it.
func dial(cmd *cobra.Command, proxies []string) (*infinicache.Client, error) {
	return dialWith(cmd, proxies, "")
}

// dialWith is dial for a command that has --encryption-key-file.
func dialWith(cmd *cobra.Command, proxies []string, keyFile string) (*infinicache.Client, error) {
	key, err := clientKeyOf(keyFile)
	if err != nil {
		return nil, err
	}
	c, err := infinicache.New(infinicache.Config{Proxies: proxies, EncryptionKey: key})
	if err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	return c, nil
}

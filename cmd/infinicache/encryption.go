package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// encryptionFlag is --encryption-key-file, the file with the key that proxies and
// clients share; empty: nothing is encrypted.
const encryptionFlag = "encryption-key-file"

// encryptionKeyOf returns the key of a proxy, nil for none. A file that is missing
// is made.
func encryptionKeyOf(path string) ([]byte, error) {
	return encryptionKey(path, keptSecret)
}

// clientKeyOf returns the key of a client, nil for none. Its file is there: a new
// key would open nothing, and seal what nobody else can read.
func clientKeyOf(path string) ([]byte, error) {
	return encryptionKey(path, readSecret)
}

func encryptionKey(path string, read func(path string, most int) ([]byte, error)) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	key, err := read(path, minSecret)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", encryptionFlag, err)
	}
	return key, nil
}

// clientKeyFlag declares --encryption-key-file for a command that reads or writes
// objects.
func clientKeyFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String(encryptionFlag, "", "`FILE` with the key, of 32 bytes, by which objects are encrypted (default: they are not)")
}

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/infinicache/infinicache/internal/image"
)

// imageConfig is what an image is made of.
type imageConfig struct {
	node, proxy bool
	archs       []string
	binaries    []image.Binary // given by hand; without an architecture: for the only one
	name        string
	output      string
}

func newImage(con console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Make a container image of the node or of the proxy",
		Long: `Make a container image without a container engine: an archive that "docker load"
and "ctr images import" read. The image has one static program and nothing else,
runs as user 65532, and has the same bytes for the same program. With more than
one architecture it is one image with a variant for each.

The programs are looked for beside this one: infinicache-node for this machine's
architecture, infinicache-node-ARCH for others, and likewise infinicache. They are
made by

  CGO_ENABLED=0 GOARCH=arm64 go build -o bin/infinicache-node-arm64 ./cmd/infinicache-node`,
		Example: `  infinicache image --node -o node.tar
  infinicache image --proxy --arch amd64,arm64 --name registry.example/infinicache:v1 -o proxy.tar
  ctr -n k8s.io images import node.tar`,
		Args: between(0, 0, "none"),
	}
	f := flagsOf(cmd)
	c := imageConfig{archs: []string{runtime.GOARCH}}
	cmd.Flags().BoolVar(&c.node, "node", false, "make the image of the node")
	cmd.Flags().BoolVar(&c.proxy, "proxy", false, "make the image of the proxy")
	add(f, &c.archs, "arch", list(choice(image.Architectures()...)), "architectures; the first is what an engine loads that knows one only")
	add(f, &c.binaries, "binary", list(binaryOf()), "programs to use instead of those beside this one")
	cmd.Flags().StringVar(&c.name, "name", "", "`NAME:TAG` of the image (default: dev.local/ and the program's name, with its version as tag)")
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "`FILE` to write the archive to")
	f.together(func() {
		if c.node == c.proxy {
			f.complain("--node, --proxy: one of them is needed")
		}
		if c.output == "" {
			f.complain("--output: none given, a file is needed")
		}
		for _, b := range c.binaries {
			if b.Arch == "" && len(c.archs) != 1 || b.Arch != "" && !slices.Contains(c.archs, b.Arch) {
				f.complain("--binary: %q given, ARCH=FILE for each of --arch %s allowed", b.File, strings.Join(c.archs, ","))
			}
		}
	})
	cmd.RunE = func(*cobra.Command, []string) error {
		spec, err := c.spec()
		if err != nil {
			return err
		}
		if err := writeFile(c.output, func(w io.Writer) error { return image.Write(w, c.reference(), spec) }); err != nil {
			return err
		}
		_, err = fmt.Fprintf(con.out, "%s in %s\n", c.reference(), c.output)
		return err
	}
	return cmd
}

// binaryOf is a program for an architecture, which may be left out.
func binaryOf() kind[image.Binary] {
	return kind[image.Binary]{
		"[ARCH=]FILE", "FILE or ARCH=FILE",
		func(s string) (image.Binary, bool) {
			arch, file, found := strings.Cut(s, "=")
			if !found {
				arch, file = "", s
			}
			return image.Binary{Arch: arch, File: file}, file != ""
		},
		func(b image.Binary) string { return strings.TrimPrefix(b.Arch+"="+b.File, "=") },
	}
}

func (c *imageConfig) program() string {
	if c.node {
		return "infinicache-node"
	}
	return "infinicache"
}

func (c *imageConfig) reference() string {
	if c.name != "" {
		return c.name
	}
	return "dev.local/" + c.program() + ":" + version
}

func (c *imageConfig) spec() (image.Spec, error) {
	s := image.Spec{
		Program: c.program(),
		Labels: map[string]string{
			"org.opencontainers.image.title": c.program(), "org.opencontainers.image.version": version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
		Ports: []string{"8080/tcp"},
	}
	if c.proxy {
		s.Ports = []string{"6376/tcp", "6377/tcp", "6378/tcp", "9378/tcp"}
		s.Dirs = []string{"/var/lib/infinicache"}
	}
	own, err := os.Executable()
	if err != nil {
		return s, err
	}
	for _, arch := range c.archs {
		file := filepath.Join(filepath.Dir(own), c.program())
		if arch != runtime.GOARCH {
			file += "-" + arch
		}
		for _, given := range c.binaries {
			if given.Arch == arch || given.Arch == "" {
				file = given.File
			}
		}
		s.Binaries = append(s.Binaries, image.Binary{Arch: arch, File: file})
	}
	return s, nil
}

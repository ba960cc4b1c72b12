package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// program writes the smallest file that is a Linux program for a machine, with a
// text in it, static or not.
func program(t *testing.T, machine elf.Machine, text string, static bool) string {
	t.Helper()
	kind := elf.PT_LOAD
	if !static {
		kind = elf.PT_INTERP
	}
	var b bytes.Buffer
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	for _, part := range []any{header, elf.Prog64{Type: uint32(kind)}, []byte(text)} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, b.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func specOf(t *testing.T) Spec {
	return Spec{
		Program: "infinicache",
		Binaries: []Binary{
			{"amd64", program(t, elf.EM_X86_64, "for amd64", true)}, {"arm64", program(t, elf.EM_AARCH64, "for arm64", true)},
		},
		Dirs: []string{"/var/lib/infinicache"}, Ports: []string{"6377/tcp"}, Labels: map[string]string{"a": "b"},
	}
}

const reference = "registry.example/infinicache:v1"

func archiveOf(t *testing.T, s Spec) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, reference, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpack writes an archive's files to a directory.
func unpack(t *testing.T, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkImage compares an image with what it ought to be.
func checkImage(t *testing.T, img v1.Image, b Binary) {
	t.Helper()
	if err := validate.Image(img); err != nil {
		t.Errorf("image for %s is not valid: %v", b.Arch, err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Architecture != b.Arch || file.OS != "linux" || !file.Created.Equal(epoch) {
		t.Errorf("image is for %s/%s, made %v, want linux/%s, made %v", file.OS, file.Architecture, file.Created, b.Arch, epoch)
	}
	want := v1.Config{
		User: "65532:65532", Entrypoint: []string{"/infinicache"}, WorkingDir: "/",
		ExposedPorts: map[string]struct{}{"6377/tcp": {}}, Labels: map[string]string{"a": "b"},
	}
	if diff := cmp.Diff(want, file.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v, want one", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	program, err := os.ReadFile(b.File)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
		switch h.Name {
		case "infinicache":
			if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, program) {
				t.Errorf("the program in the image for %s is another one, %v", b.Arch, err)
			}
		case "var/lib/infinicache/":
			if h.Uid != User || h.Gid != User {
				t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
			}
		}
	}
	files := []string{"drwxr-xr-x var/", "drwxr-xr-x var/lib/", "drwxr-xr-x var/lib/infinicache/", "-r-xr-xr-x infinicache"}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestLayout reads an archive of two architectures back as an OCI layout.
func TestLayout(t *testing.T) {
	s := specOf(t)
	outer, err := layout.ImageIndexFromPath(unpack(t, archiveOf(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(outer); err != nil {
		t.Errorf("index is not valid: %v", err)
	}
	list, err := outer.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("index has %v, %v, want one image", list, err)
	}
	if got := list.Manifests[0].Annotations["io.containerd.image.name"]; got != reference {
		t.Errorf("the image's name is %q, want %q", got, reference)
	}
	inner, err := outer.ImageIndex(list.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if list, err = inner.IndexManifest(); err != nil || len(list.Manifests) != 2 {
		t.Fatalf("image has %v, %v, want two architectures", list, err)
	}
	for i, b := range s.Binaries {
		if p := list.Manifests[i].Platform; p == nil || p.Architecture != b.Arch || p.OS != "linux" {
			t.Errorf("image %d is for %v, want %s", i, p, b.Arch)
		}
		img, err := inner.Image(list.Manifests[i].Digest)
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, img, b)
	}
}

// TestDockerArchive reads the archive back in docker's form.
func TestDockerArchive(t *testing.T) {
	s := specOf(t)
	text := archiveOf(t, s)
	tag, err := name.NewTag(reference)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }, &tag)
	if err != nil {
		t.Fatal(err)
	}
	checkImage(t, img, s.Binaries[0])
}

func TestOneArchitecture(t *testing.T) {
	s := specOf(t)
	s.Binaries = s.Binaries[1:]
	outer, err := layout.ImageIndexFromPath(unpack(t, archiveOf(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	list, err := outer.IndexManifest()
	if err != nil || len(list.Manifests) != 1 {
		t.Fatalf("index has %v, %v, want one image", list, err)
	}
	img, err := outer.Image(list.Manifests[0].Digest) // and not an index of one
	if err != nil {
		t.Fatal(err)
	}
	checkImage(t, img, s.Binaries[0])
}

func TestSameBytes(t *testing.T) {
	one, two := archiveOf(t, specOf(t)), archiveOf(t, specOf(t))
	if !bytes.Equal(one, two) {
		t.Error("the same programs make different archives")
	}
}

func TestFaults(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	arm := program(t, elf.EM_AARCH64, "", true)
	for want, s := range map[string]Spec{
		"none given":       {Program: "p"},
		"a file name":      {Program: "a/p", Binaries: []Binary{{"arm64", arm}}},
		"given twice":      {Program: "p", Binaries: []Binary{{"arm64", arm}, {"arm64", arm}}},
		"no Linux program": {Program: "p", Binaries: []Binary{{"amd64", text}}},
		"one for amd64":    {Program: "p", Binaries: []Binary{{"amd64", arm}}},
		"static program":   {Program: "p", Binaries: []Binary{{"arm64", program(t, elf.EM_AARCH64, "", false)}}},
		"[amd64 arm64]":    {Program: "p", Binaries: []Binary{{"riscv64", arm}}},
		"no such file":     {Program: "p", Binaries: []Binary{{"amd64", text + "s"}}},
	} {
		if err := Write(io.Discard, reference, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	for _, bad := range []string{"", "p", "p:a:b", "P/x:v1", "p@sha256:0"} {
		if err := Write(io.Discard, bad, specOf(t)); err == nil {
			t.Errorf("image name %q is accepted", bad)
		}
	}
}

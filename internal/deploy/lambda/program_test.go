package lambda

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// program makes the head of an ELF file, with an interpreter if it is not static.
func program(t *testing.T, machine elf.Machine, static bool) []byte {
	t.Helper()
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: 1,
	}
	segment := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	if !static {
		segment.Type = uint32(elf.PT_INTERP)
	}
	var b bytes.Buffer
	for _, part := range []any{header, segment} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func write(t *testing.T, text []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "infinicache-node")
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPack(t *testing.T) {
	text := program(t, elf.EM_AARCH64, true)
	a, err := Pack(write(t, text, 0o700), ARM64)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Pack(write(t, text, 0o755), ARM64)
	if err != nil {
		t.Fatal(err)
	}
	if a.hash != b.hash || !bytes.Equal(a.zip, b.zip) {
		t.Error("the same program gives another archive")
	}
	if sum := sha256.Sum256(a.zip); a.hash != base64.StdEncoding.EncodeToString(sum[:]) {
		t.Errorf("hash is %s", a.hash)
	}
	r, err := zip.NewReader(bytes.NewReader(a.zip), int64(a.Size()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 || r.File[0].Modified.Year() != 1980 {
		t.Fatalf("holds %+v", r.File)
	}
	f, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, text) {
		t.Errorf("bootstrap has %d bytes, %v", len(got), err)
	}
}

func TestPackRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, architecture string
		text               []byte
		mode               os.FileMode
		want               string
	}{
		{"other machine", X8664, program(t, elf.EM_AARCH64, true), 0o755, "EM_X86_64 wanted"},
		{"dynamic", ARM64, program(t, elf.EM_AARCH64, false), 0o755, "CGO_ENABLED=0"},
		{"script", ARM64, []byte("#!/bin/sh\n"), 0o755, "no Linux program"},
		{"empty", ARM64, nil, 0o755, "no Linux program"},
		{"not executable", ARM64, program(t, elf.EM_AARCH64, true), 0o644, "not executable"},
		{"cut off", ARM64, program(t, elf.EM_AARCH64, true)[:70], 0o755, "no Linux program"},
	} {
		path := write(t, tt.text, tt.mode)
		if _, err := Pack(path, tt.architecture); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Pack = %v, want %q", tt.name, err, tt.want)
		}
		if err := Fits(path, tt.architecture); err == nil {
			t.Errorf("%s: fits", tt.name)
		}
	}
	if _, err := Pack(t.TempDir(), ARM64); err == nil {
		t.Error("a directory is packed")
	}
	if _, err := Pack("no-such-file", ARM64); err == nil {
		t.Error("no file is packed")
	}
	large := write(t, nil, 0o755)
	if err := os.Truncate(large, maxProgram+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(large, ARM64); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large a program: %v", err)
	}
}

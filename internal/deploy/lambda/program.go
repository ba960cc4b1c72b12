package lambda

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// maxProgram and maxArchive are the platform's limits on what is unpacked and
	// on what is uploaded with a call, in bytes.
	maxProgram = 250 << 20
	maxArchive = 50 << 20

	// bootstrap is the file that the platform starts.
	bootstrap = "bootstrap"
)

// machines are the processors that architectures stand for.
var machines = map[string]elf.Machine{ARM64: elf.EM_AARCH64, X8664: elf.EM_X86_64}

// Archive is what functions run: a zip file, and its hash as the platform tells
// it. The same program gives the same archive.
type Archive struct {
	zip  []byte
	hash string // SHA-256 in base64
}

// Size is the zip file's, in bytes.
func (a *Archive) Size() int { return len(a.zip) }

// Pack reads the node's program and makes an archive of it. It complains about
// one that would not start on that architecture.
func Pack(path, architecture string) (*Archive, error) {
	text, err := readProgram(path)
	if err != nil {
		return nil, err
	}
	if err := checkProgram(text, architecture); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	packed, err := pack(text)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", path, err)
	}
	if len(packed) > maxArchive {
		return nil, fmt.Errorf("%s: zip file has %d bytes, at most %d allowed; strip the program", path, len(packed), maxArchive)
	}
	sum := sha256.Sum256(packed)
	return &Archive{packed, base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// Fits tells why the file is no program for that architecture; nil if it is one.
func Fits(path, architecture string) error {
	text, err := readProgram(path)
	if err != nil {
		return err
	}
	return checkProgram(text, architecture)
}

func readProgram(path string) ([]byte, error) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	case st.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("%s is not executable", path)
	case st.Size() > maxProgram:
		return nil, fmt.Errorf("%s has %d bytes, at most %d allowed", path, st.Size(), maxProgram)
	}
	return os.ReadFile(path)
}

func checkProgram(text []byte, architecture string) error {
	f, err := elf.NewFile(bytes.NewReader(text))
	if err != nil {
		return errors.New("no Linux program (ELF); build one with `make nodes`")
	}
	want := machines[architecture]
	if f.Class != elf.ELFCLASS64 || f.Machine != want {
		return fmt.Errorf("a program for %v, %v wanted for architecture %s", f.Machine, want, architecture)
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return fmt.Errorf("an ELF file of type %v, no program", f.Type)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("not static: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

// pack makes the zip file. Times and modes are fixed: the hash tells whether a
// function runs another program, and nothing else.
func pack(program []byte) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(to, flate.BestCompression)
	})
	header := &zip.FileHeader{Name: bootstrap, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

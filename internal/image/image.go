// Package image makes container images of static programs without a container
// engine: an archive that docker load and ctr images import read, the same bytes for
// the same programs.
package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is who runs the program of an image, as user and group. It has no name and
// owns nothing but Dirs.
const User = 65532

// Spec describes an image.
type Spec struct {
	// Program is the program's name; it is at the image's root.
	Program string
	// Binaries are the program for each architecture. Each becomes an image of its
	// own, and the first is what an engine loads that knows no others.
	Binaries []Binary
	// Dirs are directories that the user may write in, such as /var/lib/x.
	Dirs []string
	// Ports are where the program listens, such as 8080/tcp.
	Ports []string
	// Labels are about the image, such as org.opencontainers.image.version.
	Labels map[string]string
}

// Binary is a program for one architecture.
type Binary struct {
	Arch string // one of Architectures
	File string
}

// machines are the architectures by what an ELF file calls them.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// Architectures are those that an image can be made for.
func Architectures() []string { return []string{"amd64", "arm64"} }

// images makes an image for each binary. The error has a complaint about each that
// will not do.
func (s *Spec) images() ([]v1.Image, error) {
	var faults []error
	if s.Program == "" || s.Program != path.Base(s.Program) {
		faults = append(faults, fmt.Errorf("program: %q given, a file name allowed", s.Program))
	}
	if len(s.Binaries) == 0 {
		faults = append(faults, errors.New("binaries: none given, at least one needed"))
	}
	for i, b := range s.Binaries {
		if err := b.check(); err != nil {
			faults = append(faults, err)
		}
		if slices.ContainsFunc(s.Binaries[:i], func(other Binary) bool { return other.Arch == b.Arch }) {
			faults = append(faults, fmt.Errorf("architecture %s: given twice", b.Arch))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	var all []v1.Image
	for _, b := range s.Binaries {
		img, err := s.image(b)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", b.Arch, err)
		}
		all = append(all, img)
	}
	return all, nil
}

// check sees that a file is a Linux program for its architecture that needs no other
// file to run: there is none in the image.
func (b Binary) check() error {
	machine, ok := machines[b.Arch]
	if !ok {
		return fmt.Errorf("architecture: %q given, %v allowed", b.Arch, Architectures())
	}
	f, err := elf.Open(b.File)
	if err != nil {
		var missing *fs.PathError
		if errors.As(err, &missing) {
			return fmt.Errorf("program for %s: %w", b.Arch, err)
		}
		return fmt.Errorf("%s is no Linux program: %w", b.File, err)
	}
	defer f.Close()
	if f.Machine != machine {
		return fmt.Errorf("%s is a program for %v, one for %s wanted", b.File, f.Machine, b.Arch)
	}
	for _, part := range f.Progs {
		if part.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically, a static program is needed (CGO_ENABLED=0 go build)", b.File)
		}
	}
	return nil
}

// image makes the image for one architecture, of a single layer.
func (s *Spec) image(b Binary) (v1.Image, error) {
	content, err := s.layer(b)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "infinicache image"},
	})
	if err != nil {
		return nil, err
	}
	ports := map[string]struct{}{}
	for _, port := range s.Ports {
		ports[port] = struct{}{}
	}
	was, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file := was.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", b.Arch, v1.Time{Time: epoch}
	file.Config = v1.Config{
		Entrypoint: []string{"/" + s.Program}, User: fmt.Sprintf("%d:%d", User, User), WorkingDir: "/",
		ExposedPorts: ports, Labels: s.Labels,
	}
	return mutate.ConfigFile(img, file)
}

// epoch is when everything in an image was made, so that the same content has the
// same bytes.
var epoch = time.Unix(0, 0).UTC()

// layer is the file system, as a tar archive.
func (s *Spec) layer(b Binary) ([]byte, error) {
	program, err := os.ReadFile(b.File)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	made := map[string]bool{}
	for _, dir := range s.Dirs {
		if err := makeDir(w, made, path.Clean("/" + dir)[1:], User); err != nil {
			return nil, err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: s.Program, Size: int64(len(program)), Mode: 0o555, ModTime: epoch, Format: tar.FormatPAX}
	if err := errors.Join(w.WriteHeader(header), write(w, program), w.Close()); err != nil {
		return nil, err
	}
	return content.Bytes(), nil
}

// makeDir writes a directory of a user, and before it those above, which are root's.
func makeDir(w *tar.Writer, made map[string]bool, dir string, user int) error {
	if dir == "" || dir == "." || made[dir] {
		return nil
	}
	if err := makeDir(w, made, path.Dir(dir), 0); err != nil {
		return err
	}
	made[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, Uid: user, Gid: user, ModTime: epoch, Format: tar.FormatPAX})
}

func write(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}

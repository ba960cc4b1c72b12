package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Write makes the images of a spec and writes them, under a name such as
// registry.example/program:v1, as one archive: an OCI layout, beside which
// manifest.json has engines read it that know only docker's own form.
func Write(w io.Writer, reference string, s Spec) error {
	ref, err := name.NewTag(reference, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("image name: %q given, a name with a tag like registry.example/program:v1 allowed: %w", reference, err)
	}
	images, err := s.images()
	if err != nil {
		return err
	}
	a := &archive{tar: tar.NewWriter(w), written: map[string]bool{}}
	if err := a.writeAll(ref, images); err != nil {
		return fmt.Errorf("write image archive: %w", err)
	}
	if err := a.tar.Close(); err != nil {
		return fmt.Errorf("write image archive: %w", err)
	}
	return nil
}

// archive is an archive that is being written.
type archive struct {
	tar     *tar.Writer
	written map[string]bool // blobs
}

// writeAll writes blobs before what names them, so that a reader that does not seek
// knows all that it is told of.
func (a *archive) writeAll(ref name.Tag, images []v1.Image) error {
	if err := a.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	inner := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		if err := a.image(img); err != nil {
			return err
		}
		file, err := img.ConfigFile()
		if err != nil {
			return err
		}
		inner = mutate.AppendManifests(inner, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: file.OS, Architecture: file.Architecture}},
		})
	}
	named := map[string]string{
		"org.opencontainers.image.ref.name": ref.TagStr(),
		"io.containerd.image.name":          ref.Name(),
	}
	addendum := mutate.IndexAddendum{Add: images[0], Descriptor: v1.Descriptor{Annotations: named}}
	if len(images) > 1 {
		if err := a.raw(inner); err != nil {
			return err
		}
		addendum.Add = inner
	}
	outer := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), addendum)
	index, err := outer.RawManifest()
	if err != nil {
		return err
	}
	if err := a.file("index.json", index); err != nil {
		return err
	}
	return a.dockerManifest(ref, images[0])
}

// image writes an image's blobs.
func (a *archive) image(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		content.Close()
		if err != nil {
			return err
		}
		if err := a.blob(digest, text); err != nil {
			return err
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return err
	}
	digest, err := img.ConfigName()
	if err != nil {
		return err
	}
	if err := a.blob(digest, config); err != nil {
		return err
	}
	return a.raw(img)
}

// described is an image or an index.
type described interface {
	RawManifest() ([]byte, error)
	Digest() (v1.Hash, error)
}

// raw writes a manifest as a blob.
func (a *archive) raw(d described) error {
	text, err := d.RawManifest()
	if err != nil {
		return err
	}
	digest, err := d.Digest()
	if err != nil {
		return err
	}
	return a.blob(digest, text)
}

// dockerManifest names an image for engines that do not look at index.json.
func (a *archive) dockerManifest(ref name.Tag, img v1.Image) error {
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	one := entry{Config: blobPath(manifest.Config.Digest), RepoTags: []string{ref.Name()}}
	for _, layer := range manifest.Layers {
		one.Layers = append(one.Layers, blobPath(layer.Digest))
	}
	text, err := json.Marshal([]entry{one})
	if err != nil {
		return err
	}
	return a.file("manifest.json", text)
}

func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// blob writes a blob, once.
func (a *archive) blob(digest v1.Hash, content []byte) error {
	at := blobPath(digest)
	if a.written[at] {
		return nil
	}
	a.written[at] = true
	return a.file(at, content)
}

func (a *archive) file(at string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: at, Size: int64(len(content)), Mode: 0o644, ModTime: epoch, Format: tar.FormatUSTAR}
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(a.tar, bytes.NewReader(content))
	return err
}

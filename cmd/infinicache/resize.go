package main

import (
	"context"
	"fmt"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/placement"
)

// resize makes the pool have that many nodes and returns how many it had. The
// platform has functions for all nodes at all times: it grows before the proxy
// uses the new ones, and shrinks after the proxy has drained the leaving ones. A
// resize that failed is finished by asking for the same again.
func (s *system) resize(ctx context.Context, nodes int, progress func(done, total int)) (before int, err error) {
	if !s.resizing.CompareAndSwap(false, true) {
		return 0, admin.ErrBusy
	}
	defer s.resizing.Store(false)
	before = s.nodes()
	if err := s.checkSize(nodes, before); err != nil {
		return before, err
	}
	if s.platform != nil && s.platform.Nodes() < nodes {
		if err := s.platform.Resize(nodes); err != nil {
			return before, err
		}
	}
	if s.reign != nil {
		if err := s.reign.proxy.Resize(ctx, nodes, progress); err != nil {
			return before, err
		}
	}
	if s.platform != nil && s.platform.Nodes() > nodes {
		if err := s.platform.Resize(nodes); err != nil {
			return before, err
		}
	}
	return before, nil
}

// nodes is how many nodes the pool has; without a proxy, the platform.
func (s *system) nodes() int {
	if s.reign != nil {
		return len(s.reign.proxy.Status().Nodes)
	}
	return s.platform.Nodes()
}

// checkSize refuses to shrink a pool below what the shape of its objects needs.
func (s *system) checkSize(nodes, before int) error {
	if s.cfg.proxy == nil || s.cfg.proxy.shape == placement.Auto {
		return nil
	}
	shape := s.cfg.proxy.shape
	if need := shape.Data + shape.Parity; nodes < need && nodes < before {
		return fmt.Errorf("%w: %d given, the shape %s needs %d", admin.ErrSize, nodes, placement.FormatShape(shape), need)
	}
	return nil
}

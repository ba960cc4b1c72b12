package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/infinicache/infinicache/internal/admin"
	"github.com/infinicache/infinicache/internal/placement"
	"github.com/infinicache/infinicache/internal/wire"
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
		if err := refusal(s.reign.proxy.Resize(ctx, nodes, progress)); err != nil {
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

// drain has the pool move all that nodes hold to others, and give them nothing more.
func (s *system) drain(ctx context.Context, nodes []int, progress func(done, total int)) error {
	numbers, err := s.numbers(nodes)
	if err != nil {
		return err
	}
	return refusal(s.reign.proxy.Drain(ctx, numbers, progress))
}

// admit gives drained nodes back to the pool.
func (s *system) admit(nodes []int) error {
	numbers, err := s.numbers(nodes)
	if err != nil {
		return err
	}
	return refusal(s.reign.proxy.Admit(numbers))
}

// numbers are those of nodes of the pool.
func (s *system) numbers(nodes []int) (numbers []uint32, err error) {
	for _, node := range nodes {
		if count := s.nodes(); node >= count {
			return nil, fmt.Errorf("%w: %d given, 0 to %d allowed", admin.ErrNoNode, node, count-1)
		}
		numbers = append(numbers, uint32(node))
	}
	return numbers, nil
}

// refusal says in the admin door's words why the proxy does not do what it is asked.
func refusal(err error) error {
	switch {
	case errors.Is(err, wire.ErrBusy):
		return admin.ErrBusy
	case errors.Is(err, wire.ErrRequest):
		return fmt.Errorf("%w: %w", admin.ErrSize, err)
	}
	return err
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

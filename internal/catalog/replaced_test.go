package catalog

import (
	"sync/atomic"
	"testing"

	"github.com/infinicache/infinicache/internal/object"
)

// Until a restart finds its successor it may find the version that was replaced,
// which needs its chunks then.
func TestReplacedStaysUntilItsSuccessorIsSafe(t *testing.T) {
	h := &held{newPaper(), make(chan struct{}), make(chan error)}
	var freed atomic.Int64
	c := newCatalog(t, Config{Epoch: 1, Journal: h, OnFree: func(Freed) { freed.Add(1) }})
	put(t, c, "k", 1, object.PutOptions{})
	second := stage(t, c, "k", 1, object.PutOptions{})
	done := make(chan error)
	go func() {
		_, err := second.Commit(1)
		done <- err
	}()
	<-h.entered
	if n := freed.Load(); n != 0 {
		t.Errorf("%d versions were freed before the journal had the new one", n)
	}
	h.release <- nil
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := freed.Load(); n != 1 {
		t.Errorf("%d versions were freed after it, want 1", n)
	}
}

// What is replacing is not shown before a restart would find it, either.
func TestOpenWaitsForTheJournal(t *testing.T) {
	h := &held{newPaper(), make(chan struct{}), make(chan error)}
	c := newCatalog(t, Config{Epoch: 1, Journal: h})
	put(t, c, "k", 1, object.PutOptions{})
	second := stage(t, c, "k", 1, object.PutOptions{})
	ended := make(chan error, 2)
	go func() {
		_, err := second.Commit(1)
		ended <- err
	}()
	<-h.entered
	go func() {
		p, err := c.Open("k")
		if err == nil {
			p.Release()
		}
		ended <- err
	}()
	select {
	case <-h.entered:
	case err := <-ended:
		t.Errorf("Open did not wait: %v", err)
	}
	h.release <- nil
	<-ended
}

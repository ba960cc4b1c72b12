package pool

import (
	"github.com/infinicache/infinicache/internal/pricing"
	"github.com/infinicache/infinicache/internal/wire"
)

// lingerOn is what the configured policy means to nodes of this platform.
func (c *Config) lingerOn() (wire.Linger, error) {
	caps := c.Driver.Capabilities()
	return c.Linger.On(pricing.Plan(caps.Price), caps.Memory)
}

package knative

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// Ports of the proxy.
const (
	clientPort = 6377
	redisPort  = 6378
	adminPort  = 9378
	linksPort  = 6376
)

const (
	poolDir     = "/etc/infinicache"
	poolFile    = "pool.yaml"
	journalDir  = "/var/lib/infinicache"
	journalName = "journal" // of the volume
)

// stopSeconds is what the proxy gets to end its requests and its journal.
const stopSeconds = 30

// deployedFlags are the proxy's flags that a deployment sets.
var deployedFlags = []string{"--pool", "--key-file", "--journal", "--client", "--redis", "--admin", "--links", "--advertise", "--platform"}

func (p *Pool) configMap() *unstructured.Unstructured {
	return object(m{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": p.metadata(p.ProxyName(), partProxy),
		"data":     m{poolFile: p.file()},
	})
}

// clientService is where clients find the proxy, once it can be used.
func (p *Pool) clientService() *unstructured.Unstructured {
	return object(m{
		"apiVersion": "v1", "kind": "Service",
		"metadata": p.metadata(p.ProxyName(), partProxy),
		"spec": m{
			"selector": p.selector(partProxy),
			"ports":    l{servicePort("client", clientPort), servicePort("redis", redisPort), servicePort("admin", adminPort)},
		},
	})
}

// linkService is where nodes find the proxy, before it is ready, too: it may be the
// nodes it waits for. Its address stays while that of the pod changes.
func (p *Pool) linkService() *unstructured.Unstructured {
	return object(m{
		"apiVersion": "v1", "kind": "Service",
		"metadata": p.metadata(p.linksName(), partProxy),
		"spec": m{
			"selector":                 p.selector(partProxy),
			"publishNotReadyAddresses": true,
			"ports":                    l{servicePort("links", linksPort)},
		},
	})
}

func servicePort(name string, port int) m {
	return m{"name": name, "port": port, "targetPort": name, "protocol": "TCP"}
}

// Advertised is where nodes dial the proxy.
func (p *Pool) Advertised() string {
	return fmt.Sprintf("%s.%s.svc.%s:%d", p.linksName(), p.Namespace, p.ClusterDomain, linksPort)
}

// proxyArgs is the proxy's command line.
func (p *Pool) proxyArgs() l {
	args := l{
		"proxy",
		"--pool=" + poolDir + "/" + poolFile,
		"--key-file=" + journalDir + "/pool.key",
		"--journal=" + journalDir,
		fmt.Sprintf("--client=0.0.0.0:%d", clientPort),
		fmt.Sprintf("--redis=0.0.0.0:%d", redisPort),
		fmt.Sprintf("--admin=0.0.0.0:%d", adminPort),
		fmt.Sprintf("--links=0.0.0.0:%d", linksPort),
		"--advertise=" + p.Advertised(),
		"--allow-unauthenticated", // the network policy says who may connect
	}
	for _, flag := range p.ProxyFlags {
		args = append(args, flag)
	}
	return args
}

func (p *Pool) statefulSet() *unstructured.Unstructured {
	ports := l{}
	for _, port := range []struct {
		name   string
		number int
	}{{"client", clientPort}, {"redis", redisPort}, {"admin", adminPort}, {"links", linksPort}} {
		ports = append(ports, m{"name": port.name, "containerPort": port.number, "protocol": "TCP"})
	}
	probe := func(path string, period, failures int) m {
		return m{"httpGet": m{"path": path, "port": "admin"}, "periodSeconds": period, "failureThreshold": failures}
	}
	container := m{
		"name":  partProxy,
		"image": p.ProxyImage,
		"args":  p.proxyArgs(),
		"ports": ports,
		"env":   l{m{"name": "GOMEMLIMIT", "value": memoryLimit(p.ProxyMemory)}},
		"resources": m{
			"requests": m{"cpu": p.ProxyCPU, "memory": quantity(p.ProxyMemory)},
			"limits":   m{"memory": quantity(p.ProxyMemory)},
		},
		// A large journal takes its time before the admin door opens. Until the probes
		// have seen it nobody reaches the proxy, so they look often.
		"startupProbe":    probe("/healthz", 1, 300),
		"livenessProbe":   probe("/healthz", 5, 6),
		"readinessProbe":  probe("/readyz", 1, 3),
		"securityContext": confined(),
		"volumeMounts": l{
			m{"name": "pool", "mountPath": poolDir, "readOnly": true},
			m{"name": journalName, "mountPath": journalDir},
		},
	}
	claim := m{
		"accessModes": l{"ReadWriteOnce"},
		"resources":   m{"requests": m{"storage": quantity(p.Storage)}},
	}
	if p.StorageClass != "" {
		claim["storageClassName"] = p.StorageClass
	}
	return object(m{
		"apiVersion": "apps/v1", "kind": "StatefulSet",
		"metadata": p.metadata(p.ProxyName(), partProxy),
		"spec": m{
			"replicas": 1,
			// The other policy waits for a pod to be ready before it replaces it, for
			// ever if the pod's image is wrong.
			"podManagementPolicy": "Parallel",
			"serviceName":         p.linksName(),
			"selector":            m{"matchLabels": p.selector(partProxy)},
			"template": m{
				"metadata": m{
					"labels":      p.labels(partProxy),
					"annotations": m{labelDomain + "/pool-file": p.fingerprint()},
				},
				"spec": m{
					"serviceAccountName":            p.accountName(partProxy),
					"automountServiceAccountToken":  false,
					"enableServiceLinks":            false,
					"terminationGracePeriodSeconds": stopSeconds,
					// The volume's files belong to who runs the proxy.
					"securityContext": m{"fsGroup": imageUser},
					"containers":      l{container},
					"volumes":         l{m{"name": "pool", "configMap": m{"name": p.ProxyName()}}},
				},
			},
			"volumeClaimTemplates": l{m{
				"metadata": m{"name": journalName, "labels": p.selector(partProxy)},
				"spec":     claim,
			}},
		},
	})
}

// claimName is the name of the proxy's volume claim.
func (p *Pool) claimName() string { return journalName + "-" + p.ProxyName() + "-0" }

// memoryLimit is what the runtime of a program aims at that has so much memory.
func memoryLimit(n bytesize.Bytes) string {
	return fmt.Sprintf("%dMiB", int64(n)/10*9>>20)
}

package knative

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// resourceOf is how the API server names the objects of a kind. A permission has
// the group and the plural name.
type resourceOf struct {
	group, version, kind, plural string
}

// Kinds that a pool consists of.
var (
	nodeServices = resourceOf{servingGroup, "v1", "Service", "services"}
	services     = resourceOf{"", "v1", "Service", "services"}
	accounts     = resourceOf{"", "v1", "ServiceAccount", "serviceaccounts"}
	configMaps   = resourceOf{"", "v1", "ConfigMap", "configmaps"}
	statefulSets = resourceOf{"apps", "v1", "StatefulSet", "statefulsets"}
	policies     = resourceOf{"networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"}
	budgets      = resourceOf{"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"}

	deployedKinds = []resourceOf{nodeServices, services, accounts, configMaps, statefulSets, policies, budgets}
)

// Kinds that a deployment only looks at, or deletes.
var (
	namespaces     = resourceOf{"", "v1", "Namespace", "namespaces"}
	pods           = resourceOf{"", "v1", "Pod", "pods"}
	events         = resourceOf{"", "v1", "Event", "events"}
	claims         = resourceOf{"", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"}
	quotas         = resourceOf{"", "v1", "ResourceQuota", "resourcequotas"}
	machines       = resourceOf{"", "v1", "Node", "nodes"}
	storageClasses = resourceOf{"storage.k8s.io", "v1", "StorageClass", "storageclasses"}
	deployments    = resourceOf{"apps", "v1", "Deployment", "deployments"}
)

// permission is to do something with objects of a kind.
type permission struct {
	on    resourceOf
	verbs []string
}

// permissions are the least that a deployment of a pool needs in its namespace.
func permissions() []permission {
	var all []permission
	for _, kind := range deployedKinds {
		// Server-side apply of what does not exist yet asks for both, patch and
		// create.
		all = append(all, permission{kind, []string{"get", "list", "create", "patch", "delete"}})
	}
	return append(all,
		permission{pods, []string{"list"}},
		permission{events, []string{"list"}},
		permission{quotas, []string{"list"}},
		permission{claims, []string{"get", "delete"}})
}

// systemPermissions are for --check, in Knative's namespace.
func systemPermissions() []permission {
	return []permission{{configMaps, []string{"get"}}, {deployments, []string{"get"}}}
}

// clusterPermissions are for --check, in the whole cluster.
func clusterPermissions() []permission {
	return []permission{{namespaces, []string{"get"}}, {machines, []string{"list"}}, {storageClasses, []string{"get", "list"}}}
}

// DeployerRoles are roles with the least permissions for who deploys the pool: what
// a deployment needs, and what --check reads besides in Knative's namespace and in
// the cluster. Bind them to whom it concerns.
func (p *Pool) DeployerRoles() []*unstructured.Unstructured {
	role := func(kind, namespace, suffix string, all []permission) *unstructured.Unstructured {
		meta := m{"name": p.Prefix + suffix}
		if namespace != "" {
			meta["namespace"] = namespace
		}
		rules := l{}
		for _, one := range all {
			rules = append(rules, m{"apiGroups": l{one.on.group}, "resources": l{one.on.plural}, "verbs": one.verbs})
		}
		return object(m{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta, "rules": rules})
	}
	return []*unstructured.Unstructured{
		role("Role", p.Namespace, "deployer", permissions()),
		role("Role", servingNamespace, "deployer-check", systemPermissions()),
		role("ClusterRole", "", "deployer-check", clusterPermissions()),
	}
}

// servingNamespace is where Knative Serving is installed.
const servingNamespace = "knative-serving"

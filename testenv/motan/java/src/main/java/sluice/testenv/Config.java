package sluice.testenv;

import com.weibo.api.motan.config.ProtocolConfig;
import com.weibo.api.motan.config.RegistryConfig;
import java.util.Map;

/** What the command line says, as JSON; package testenv/motan describes it. */
public final class Config {
    public String name;
    public String address;
    public String service;
    public String group;
    public String version;

    public String application;
    public String protocol;
    public String serialization;
    public Registry registry;
    public Map<String, String> parameters = Map.of();

    /** Where servers say that they are there. */
    public static final class Registry {
        public String protocol;
        public String address;
        public String proxy; // of weibomesh: host:port of the ZooKeeper server that the agent is to use
    }

    RegistryConfig registryConfig(boolean server) {
        RegistryConfig r = new RegistryConfig();
        boolean direct = registry.protocol.equals("direct");
        // "zookeeper" is Motan's name for the one whose data are serialized Java objects, "zk" for the one with plain text.
        r.setRegProtocol(direct ? (server ? "local" : "direct") : registry.protocol.equals("zookeeper") ? "zk" : registry.protocol);
        if (!registry.address.isEmpty()) {
            r.setAddress(registry.address);
        }
        r.setRegistrySessionTimeout(registry.protocol.equals("consul") ? 500 : 4000); // for Consul, the pause before each reading
        r.setConnectTimeout(20000); // it tries once
        r.setCheck("true");
        if (registry.protocol.equals("weibomesh")) { // its port of the manage interface is MESH_MPORT, in the environment
            RegistryConfig behind = new RegistryConfig();
            behind.setRegProtocol("zk");
            behind.setAddress(registry.proxy);
            behind.setRegistrySessionTimeout(4000);
            behind.setConnectTimeout(20000);
            r.setProxyRegistry(behind);
            r.setDynamic(true);
            r.setRegistrySessionTimeout(1000); // the pause between heartbeats
        }
        return r;
    }

    ProtocolConfig protocolConfig() {
        ProtocolConfig p = new ProtocolConfig();
        p.setId(protocol);
        p.setName(protocol);
        p.setSerialization(serialization);
        p.setEndpointFactory(LoopbackEndpointFactory.NAME);
        p.setParameters(parameters);
        return p;
    }
}

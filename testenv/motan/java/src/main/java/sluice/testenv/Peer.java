package sluice.testenv;

import com.alibaba.fastjson.JSON;
import com.weibo.api.motan.common.MotanConstants;
import com.weibo.api.motan.config.ServiceConfig;
import com.weibo.api.motan.util.MotanSwitcherUtil;
import java.io.PrintStream;

/** Motan 1.2.6 as a program: {@code Peer server JSON}, {@code Peer client JSON} and {@code Peer console JSON}. */
public final class Peer {
    private Peer() {}

    public static void main(String[] args) {
        try {
            run(args);
        } catch (Throwable e) {
            e.printStackTrace(); // Motan's threads would keep the program
        }
        System.exit(2);
    }

    private static void run(String[] args) throws Exception {
        PrintStream answers = System.out;
        System.setOut(System.err); // what libraries print: answers have their own way
        Config config = JSON.parseObject(args[1], Config.class);
        if (args[0].equals("server")) {
            serve(config);
        } else if (args[0].equals("console")) {
            new Console(config).run(System.in, answers);
            System.exit(0);
        } else {
            new Driver(config, answers).run(System.in);
            System.exit(0);
        }
    }

    private static void serve(Config config) throws InterruptedException {
        // Motan takes 127.0.0.1 for a mistake, whether configured or found.
        ServiceConfig<PeerService> service = new ServiceConfig<>() {
            @Override
            protected String getLocalHostAddress() {
                return "127.0.0.1";
            }
        };
        service.setInterface(PeerService.class);
        service.setRef(new Methods(config.name));
        service.setApplication("testenv-server");
        service.setGroup(config.group);
        service.setVersion(config.version);
        service.setRegistry(config.registryConfig(true));
        service.setProtocol(config.protocolConfig());
        service.setExport(config.protocol + ":" + config.address.substring(config.address.indexOf(':') + 1));
        service.export();
        MotanSwitcherUtil.setSwitcherValue(MotanConstants.REGISTRY_HEARTBEAT_SWITCHER, true);
        if (config.registry.protocol.equals("weibomesh")) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                service.unexport();
                try {
                    Thread.sleep(2000); // its request is made by a thread of the registry's, which nobody can wait for
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }));
        }
        System.err.println("ready " + ProcessHandle.current().pid());
        Thread.currentThread().join();
    }
}

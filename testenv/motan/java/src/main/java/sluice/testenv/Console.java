package sluice.testenv;

import com.alibaba.fastjson.JSON;
import com.weibo.api.motan.registry.support.command.RpcCommand;
import com.weibo.api.motan.registry.support.command.RpcCommandUtil;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.I0Itec.zkclient.ZkClient;

/**
 * Writes commands as Motan's console does: by motan-core's own class, and by a ZkClient that serializes Java objects. Each line
 * of its input is an Entry as JSON, and is answered with a line when it is written.
 */
final class Console {
    /** What is written for a group. */
    public static final class Entry {
        public String group;
        /** RpcCommand as JSON; null removes the entry. */
        public String command;
    }

    private final ZkClient zk;

    Console(Config config) {
        zk = new ZkClient(config.address, 10000, 20000);
    }

    void run(InputStream in, PrintStream out) throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            write(JSON.parseObject(line, Entry.class));
            out.println("written");
            out.flush();
        }
    }

    private void write(Entry entry) {
        String path = "/motan/" + entry.group + "/command";
        if (entry.command == null) {
            zk.delete(path);
            return;
        }
        if (!zk.exists(path)) {
            zk.createPersistent(path, true);
        }
        RpcCommand parsed = RpcCommandUtil.stringToCommand(entry.command);
        if (parsed == null) {
            throw new IllegalArgumentException("motan-core cannot read " + entry.command);
        }
        zk.writeData(path, RpcCommandUtil.commandToString(parsed));
    }
}

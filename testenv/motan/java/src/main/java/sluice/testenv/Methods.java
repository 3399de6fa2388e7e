package sluice.testenv;

import com.weibo.api.motan.rpc.RpcContext;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** What PeerService does. */
final class Methods implements PeerService {
    /** The longest answer of bytes: more than the 10 MiB that a frame may have. */
    private static final int MAX_BYTES = 16 << 20;

    private final String name;
    private final Map<String, AtomicLong> calls = new ConcurrentHashMap<>();

    Methods(String name) {
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public Object echo(Object value) {
        return value;
    }

    @Override
    public String join(String s, long n, boolean b) {
        return s + " " + n + " " + b;
    }

    @Override
    public Map<String, String> attachments() {
        return new TreeMap<>(RpcContext.getContext().getRequest().getAttachments());
    }

    @Override
    public byte[] bytes(long n) {
        if (n < 0 || n > MAX_BYTES) {
            throw new IllegalArgumentException(n + " bytes are not to be had");
        }
        byte[] b = new byte[(int) n];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) (i % 251);
        }
        return b;
    }

    @Override
    public long sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return ms;
    }

    @Override
    public String fail(String message) throws Exception {
        throw new Exception(message);
    }

    @Override
    public long count(String id, long ms) {
        long n = calls.computeIfAbsent(id, k -> new AtomicLong()).incrementAndGet();
        sleep(ms);
        return n;
    }

    @Override
    public long counted(String id) {
        AtomicLong n = calls.get(id);
        return n == null ? 0 : n.get();
    }
}

package sluice.testenv;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONArray;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import com.weibo.api.motan.config.RefererConfig;
import com.weibo.api.motan.exception.MotanAbstractException;
import com.weibo.api.motan.exception.MotanBizException;
import com.weibo.api.motan.exception.MotanFrameworkException;
import com.weibo.api.motan.proxy.CommonClient;
import com.weibo.api.motan.rpc.DefaultRequest;
import com.weibo.api.motan.rpc.Request;
import com.weibo.api.motan.rpc.ResponseFuture;
import com.weibo.api.motan.util.ReflectUtil;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Makes the calls that lines of JSON tell it, over one RefererConfig for each service, group, version and timeout. Lines,
 * and the calls of a line, run side by side.
 */
final class Driver {
    private final Config config;
    private final PrintStream out;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final Map<String, CommonClient> clients = new HashMap<>();

    Driver(Config config, PrintStream out) {
        this.config = config;
        this.out = out;
    }

    void run(InputStream in) throws IOException {
        write(0, new JSONArray());
        BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8), 1 << 20);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JSONObject batch = JSON.parseObject(line);
            threads.execute(() -> all(batch));
        }
    }

    private void all(JSONObject batch) {
        try {
            List<Future<JSONObject>> pending = new ArrayList<>();
            for (Object call : batch.getJSONArray("calls")) {
                pending.add(threads.submit(() -> one((JSONObject) call)));
            }
            JSONArray results = new JSONArray();
            for (Future<JSONObject> f : pending) {
                results.add(f.get());
            }
            write(batch.getLongValue("id"), results);
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(2);
        }
    }

    private synchronized void write(long id, JSONArray results) {
        JSONObject answer = new JSONObject();
        answer.put("id", id);
        answer.put("results", results);
        byte[] line = (JSON.toJSONString(answer, SerializerFeature.WriteMapNullValue,
                SerializerFeature.DisableCircularReferenceDetect) + "\n").getBytes(StandardCharsets.UTF_8);
        out.write(line, 0, line.length);
        out.flush();
    }

    /**
     * Makes a call. It does so by asyncCall: call itself replaces a business exception from another language by one that
     * has lost its code.
     */
    private JSONObject one(JSONObject call) {
        JSONObject result = new JSONObject();
        try {
            CommonClient client = client(call);
            Object[] args = call.getJSONArray("args").stream().map(Values::decode).toArray();
            DefaultRequest request = (DefaultRequest) client.buildRequest(call.getString("method"), args);
            Class<?> returns = Object.class;
            Method method = method(call.getString("method"));
            if (method != null && call.getString("service").equals(PeerService.class.getName())) {
                request.setParamtersDesc(ReflectUtil.getMethodParamDesc(method)); // as a client with an interface does
                returns = method.getReturnType();
            } else if (config.protocol.equals("motan")) {
                request.setParamtersDesc("void"); // Motan1 cannot do without
            }
            attach(request, call.getJSONObject("attachments"));
            ResponseFuture future = (ResponseFuture) client.asyncCall(request, returns);
            try {
                result.put("value", Values.encode(future.getValue()));
            } finally {
                result.put("attachments", future.getAttachments());
            }
        } catch (Throwable e) {
            result.put("error", error(e));
        }
        return result;
    }

    private static void attach(Request request, JSONObject attachments) {
        if (attachments != null) {
            attachments.forEach((k, v) -> request.setAttachment(k, (String) v));
        }
    }

    private static Method method(String name) {
        for (Method m : PeerService.class.getMethods()) {
            if (m.getName().equals(name)) {
                return m;
            }
        }
        return null;
    }

    private static JSONObject error(Throwable e) {
        JSONObject o = new JSONObject();
        o.put("type", -1);
        o.put("message", e.toString());
        if (e instanceof MotanAbstractException) {
            MotanAbstractException m = (MotanAbstractException) e;
            o.put("type", e instanceof MotanFrameworkException ? 0 : e instanceof MotanBizException ? 2 : 1);
            o.put("code", m.getErrorCode());
            o.put("message", m.getOriginMessage());
            if (e instanceof MotanBizException && e.getCause() != null) { // Motan1 carries the exception itself
                o.put("message", m.getOriginMessage() + ", " + e.getCause().getMessage());
            }
        } else {
            e.printStackTrace();
        }
        return o;
    }

    private synchronized CommonClient client(JSONObject call) {
        String key = String.join("|", call.getString("service"), call.getString("group"), call.getString("version"),
                call.getString("timeout"));
        return clients.computeIfAbsent(key, k -> refer(call));
    }

    private CommonClient refer(JSONObject call) {
        RefererConfig<CommonClient> r = new RefererConfig<>() {
            @Override
            protected String getLocalHostAddress() {
                return "127.0.0.1"; // as in Peer
            }
        };
        r.setInterface(CommonClient.class);
        r.setServiceInterface(call.getString("service"));
        r.setApplication(config.application);
        r.setGroup(call.getString("group"));
        r.setVersion(call.getString("version"));
        r.setRequestTimeout(call.getInteger("timeout"));
        r.setAsyncInitConnection(false);
        r.setCheck("false");
        r.setRegistry(config.registryConfig(false));
        r.setProtocol(config.protocolConfig());
        return r.getRef();
    }
}

package sluice.testenv;

import com.weibo.api.motan.common.ChannelState;
import com.weibo.api.motan.core.extension.SpiMeta;
import com.weibo.api.motan.rpc.URL;
import com.weibo.api.motan.transport.MessageHandler;
import com.weibo.api.motan.transport.Server;
import com.weibo.api.motan.transport.netty.NettyEndpointFactory;
import com.weibo.api.motan.transport.netty.NettyServer;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetSocketAddress;
import org.jboss.netty.bootstrap.ServerBootstrap;
import org.jboss.netty.channel.Channel;

/** Motan's own server, which listens on every interface and knows no other way, on the loopback address alone. */
@SpiMeta(name = LoopbackEndpointFactory.NAME)
public final class LoopbackEndpointFactory extends NettyEndpointFactory {
    static final String NAME = "loopback";

    @Override
    protected Server innerCreateServer(URL url, MessageHandler messageHandler) {
        return new LoopbackServer(url, messageHandler);
    }

    private static final class LoopbackServer extends NettyServer {
        LoopbackServer(URL url, MessageHandler messageHandler) {
            super(url, messageHandler);
        }

        /** Opens as NettyServer does, but for the address. */
        @Override
        public synchronized boolean open() {
            if (isAvailable()) {
                return true;
            }
            try {
                Method init = NettyServer.class.getDeclaredMethod("initServerBootstrap");
                init.setAccessible(true);
                init.invoke(this);
                ServerBootstrap bootstrap = (ServerBootstrap) field("bootstrap").get(this);
                Channel channel = bootstrap.bind(new InetSocketAddress("127.0.0.1", url.getPort()));
                field("serverChannel").set(this, channel);
                setLocalAddress((InetSocketAddress) channel.getLocalAddress());
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException("NettyServer is not as it was", e);
            }
            state = ChannelState.ALIVE;
            return state.isAliveState();
        }

        private static Field field(String name) throws NoSuchFieldException {
            Field f = NettyServer.class.getDeclaredField(name);
            f.setAccessible(true);
            return f;
        }
    }
}

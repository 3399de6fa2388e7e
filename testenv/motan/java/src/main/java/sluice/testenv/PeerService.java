package sluice.testenv;

import java.util.Map;

/** The service that all peers serve, in whatever language. Package testenv/motan says what each method does. */
public interface PeerService {
    String name();

    Object echo(Object value);

    String join(String s, long n, boolean b);

    Map<String, String> attachments();

    byte[] bytes(long n);

    long sleep(long ms);

    String fail(String message) throws Exception;

    long count(String id, long ms);

    long counted(String id);
}

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.apache.spark.PartitionEvaluatorFactory;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.catalyst.InternalRow;
import org.apache.spark.sql.catalyst.expressions.codegen.CodeAndComment;
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenContext;
import org.apache.spark.sql.catalyst.plans.physical.UnknownPartitioning;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.execution.CodegenSupport;
import org.apache.spark.sql.execution.InputAdapter;
import org.apache.spark.sql.execution.LogicalRDD;
import org.apache.spark.sql.execution.RDDScanExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.WholeStageCodegenEvaluatorFactory;
import org.apache.spark.sql.execution.WholeStageCodegenExec;
import org.apache.spark.sql.execution.exchange.BroadcastExchangeLike;
import org.apache.spark.sql.execution.exchange.ShuffleExchangeExec;
import org.apache.spark.sql.execution.window.WindowEvaluatorFactory;
import org.apache.spark.sql.execution.window.WindowExec;
import scala.Option;
import scala.Tuple2;
import scala.collection.Iterator;
import scala.collection.immutable.Nil$;
import scala.collection.immutable.Seq;
import scala.jdk.javaapi.CollectionConverters;
import scala.reflect.ClassTag;
import scala.reflect.ClassTag$;
import scala.util.Left;

/**
 * A planned statement that is run over new rows again and again.
 * What Spark would do anew each time is done once: broadcast sides are kept, and so is the generated code.
 */
public class Prepared {
  private static final ClassTag ROW = ClassTag$.MODULE$.apply(InternalRow.class);

  private final SparkPlan plan;
  private final Map factories = new IdentityHashMap();
  private boolean single;

  public Prepared(Object plan) {
    this.plan = (SparkPlan) plan;
  }

  /** The same statement with other rows in the place of some that seldom change; `before` and `after` go in pairs. */
  public Prepared over(List before, List after) {
    return new Prepared(exchanged(plan, pairs(before, after)));
  }

  /** The statement's rows over other inputs, not computed yet; inputs of one partition each need no exchange. */
  public synchronized Object rows(List before, List after, boolean single) {
    this.single = single;
    return rows(plan, pairs(before, after));
  }

  /** A plan that reads `rows`, which have this statement's columns, and knows nothing of how they are made. */
  public Object leaf(Object session, Object rows) {
    return new LogicalRDD(plan.output(), (RDD) rows, new UnknownPartitioning(0), (Seq) Nil$.MODULE$, false,
        Option.empty(), (SparkSession) session, Option.empty(), Option.empty()).newInstance();
  }

  private RDD rows(SparkPlan node, Map exchange) {
    if (node instanceof RDDScanExec) {
      return input((RDDScanExec) node, exchange);
    }
    if (node instanceof WholeStageCodegenExec) {
      Seq inputs = ((CodegenSupport) stage(((WholeStageCodegenExec) node).child(), exchange)).inputRDDs();
      if (inputs.size() == 1) {
        return ((RDD) inputs.head()).mapPartitionsWithEvaluator(generated((WholeStageCodegenExec) node), ROW);
      }
    }
    if (single && node instanceof ShuffleExchangeExec) {
      return rows(((ShuffleExchangeExec) node).child(), exchange);
    }
    if (node instanceof WindowExec) {
      WindowExec window = (WindowExec) node;
      return rows(window.child(), exchange).mapPartitionsWithEvaluator(windows(window), ROW);
    }
    return exchanged(node, exchange).execute();
  }

  /** A generated stage whose inputs are exchanged; only good for asking what it reads. */
  private SparkPlan stage(SparkPlan node, Map exchange) {
    if (node instanceof InputAdapter) {
      SparkPlan below = ((InputAdapter) node).child();
      return below instanceof BroadcastExchangeLike ? node : scan(below, rows(below, exchange));
    }
    if (node instanceof RDDScanExec) {
      return scan(node, input((RDDScanExec) node, exchange));
    }
    return rebuilt(node, exchange, true);
  }

  private PartitionEvaluatorFactory generated(WholeStageCodegenExec node) {
    PartitionEvaluatorFactory factory = (PartitionEvaluatorFactory) factories.get(node);
    if (factory == null) {
      Tuple2 made = node.doCodeGen();
      Object references = ((CodegenContext) made._1()).references().toArray(ClassTag$.MODULE$.Any());
      Object source = node.session().sparkContext().broadcast(made._2(), ClassTag$.MODULE$.apply(CodeAndComment.class));
      factory = new WholeStageCodegenEvaluatorFactory(
          new Left(source), node.longMetric("pipelineTime"), (Object[]) references);
      factories.put(node, factory);
    }
    return factory;
  }

  private PartitionEvaluatorFactory windows(WindowExec node) {
    PartitionEvaluatorFactory factory = (PartitionEvaluatorFactory) factories.get(node);
    if (factory == null) {
      factory = new WindowEvaluatorFactory(node.windowExpression(), node.partitionSpec(), node.orderSpec(),
          node.child().output(), node.longMetric("spillSize"), node.longMetric("numSegmentTreeFrames"),
          node.longMetric("numSegmentTreeFallbackFrames"));
      factories.put(node, factory);
    }
    return factory;
  }

  /** Nodes above an exchanged input are made anew; all others stay, and with them what they have worked out. */
  private SparkPlan exchanged(SparkPlan node, Map exchange) {
    if (node instanceof RDDScanExec) {
      return exchange.containsKey(((RDDScanExec) node).rdd()) ? scan(node, input((RDDScanExec) node, exchange)) : node;
    }
    return rebuilt(node, exchange, false);
  }

  private SparkPlan rebuilt(SparkPlan node, Map exchange, boolean inStage) {
    boolean changed = false;
    List children = new ArrayList();
    for (Iterator i = node.children().iterator(); i.hasNext();) {
      SparkPlan child = (SparkPlan) i.next();
      SparkPlan now = inStage ? stage(child, exchange) : exchanged(child, exchange);
      changed |= now != child;
      children.add(now);
    }
    return changed ? (SparkPlan) node.withNewChildren(CollectionConverters.asScala(children).toSeq()) : node;
  }

  private static RDD input(RDDScanExec leaf, Map exchange) {
    Object rows = exchange.get(leaf.rdd());
    return rows == null ? leaf.rdd() : (RDD) rows;
  }

  private static SparkPlan scan(SparkPlan like, RDD rows) {
    return new RDDScanExec(like.output(), rows, "Input", like.outputPartitioning(), like.outputOrdering(),
        Option.empty());
  }

  private static Map pairs(List before, List after) {
    Map exchange = new IdentityHashMap();
    for (int i = 0; i < before.size(); i++) {
      exchange.put(before.get(i), after.get(i));
    }
    return exchange;
  }
}

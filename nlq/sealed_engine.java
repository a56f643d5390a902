import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.QueryPlanningTracker;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistryBase;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo;
import org.apache.spark.sql.catalyst.expressions.Literal;
import org.apache.spark.sql.catalyst.expressions.PlanExpression;
import org.apache.spark.sql.catalyst.plans.QueryPlan;
import org.apache.spark.sql.catalyst.plans.logical.CTERelationDef;
import org.apache.spark.sql.catalyst.plans.logical.CTERelationRef;
import org.apache.spark.sql.catalyst.plans.logical.Limit$;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.logical.UnresolvedWith;
import org.apache.spark.sql.catalyst.plans.logical.View;
import org.apache.spark.sql.catalyst.plans.logical.WithCTE;
import org.apache.spark.sql.catalyst.trees.TreeNode;
import org.apache.spark.sql.catalyst.util.IntervalUtils;
import org.apache.spark.sql.classic.Dataset$;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.classic.SparkSession$;
import org.apache.spark.sql.types.DataTypes;
import org.apache.spark.unsafe.types.CalendarInterval;
import org.apache.spark.unsafe.types.UTF8String;
import scala.Product;
import scala.collection.Iterable;
import scala.collection.Iterator;

/**
 * The parts of wall 2 that would cost a round trip a node or a function from Python.
 * Compiled when the engine starts, by the compiler that Spark itself brings for its generated code.
 */
public class SealedEngine {
  /** Time windows that one row may fall into; the analyser copies the statement's columns for each. */
  private static final double MOST_WINDOWS = 100;

  /** Characters to which a text may be filled up. */
  private static final int MOST_PADDED = 1000;

  /** Questions inside questions. */
  private static final int MOST_NESTED = 8;

  /** A query's planning, which Spark cannot cancel: it ends at the next rule once `stop` was called. */
  public static class Planning extends QueryPlanningTracker {
    private volatile boolean stopped = false;

    public Planning() {
      super(scala.Option.apply(null));
    }

    public void stop() {
      stopped = true;
    }

    public void recordRuleInvocation(String rule, long nanoseconds, boolean effective) {
      if (stopped) {
        throw new CancellationException("planning was stopped");
      }
    }
  }

  public Planning planning() {
    return new Planning();
  }

  /** Reads a statement with the settings of its session; the parser takes them from whichever session is active. */
  public LogicalPlan parsed(Object session, String sql) throws Exception {
    SparkSession own = (SparkSession) session;
    scala.Option before = SparkSession$.MODULE$.getActiveSession();
    SparkSession$.MODULE$.setActiveSession(own);
    try {
      return own.sessionState().sqlParser().parsePlan(sql);
    } finally {
      if (before.isDefined()) {
        SparkSession$.MODULE$.setActiveSession((SparkSession) before.get());
      } else {
        SparkSession$.MODULE$.clearActiveSession();
      }
    }
  }

  /** A statement's plan as a data frame whose planning can be stopped. */
  public Object frame(Object session, Object plan, Object planning) {
    return Dataset$.MODULE$.ofRows(
        (SparkSession) session, (LogicalPlan) plan, (QueryPlanningTracker) planning, Dataset$.MODULE$.ofRows$default$4());
  }

  /** The plan with at most `rows` rows. */
  public Object limited(Object plan, int rows) {
    return Limit$.MODULE$.apply(new Literal(Integer.valueOf(rows), DataTypes.IntegerType), (LogicalPlan) plan);
  }

  /** Takes every function whose name is not in `keep` out of a session's registry. */
  public void drop(FunctionRegistryBase registry, Set keep) {
    for (Iterator i = registry.listFunction().iterator(); i.hasNext();) {
      FunctionIdentifier function = (FunctionIdentifier) i.next();
      if (!keep.contains(function.funcName())) {
        registry.dropFunction(function);
      }
    }
  }

  /** The expression classes of the functions in a registry, one a line. */
  public String functionClasses(FunctionRegistryBase registry) {
    StringBuilder found = new StringBuilder();
    for (Iterator i = registry.listFunction().iterator(); i.hasNext();) {
      ExpressionInfo info = (ExpressionInfo) registry.lookupFunction((FunctionIdentifier) i.next()).get();
      found.append(info.getClassName()).append('\n');
    }
    return found.toString();
  }

  /** The classes of a plan, one a line. Does not look below a registered view: its making is the pipeline's affair. */
  public String planClasses(QueryPlan plan) {
    StringBuilder found = new StringBuilder();
    plan(plan, found);
    return found.toString();
  }

  private void plan(QueryPlan plan, StringBuilder found) {
    found.append(plan.getClass().getName()).append('\n');
    if (plan instanceof View) {
      found.append("view ").append(((View) plan).desc().identifier().table()).append('\n');
      return;
    }
    for (Iterator i = plan.children().iterator(); i.hasNext();) {
      plan((QueryPlan) i.next(), found);
    }
    for (Iterator i = plan.expressions().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }

  private void expression(Expression expression, StringBuilder found) {
    found.append(expression.getClass().getName()).append('\n');
    if (expression instanceof PlanExpression) {
      plan((QueryPlan) ((PlanExpression) expression).plan(), found);
    }
    for (Iterator i = expression.children().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }

  /**
   * Everything that a parsed plan holds: its classes, `relation NAME`, `size CALL` of each call that would grow
   * beyond its bounds and `substitution in` where a text holds one, one a line. Goes through every field of every node, children or not, and
   * through none twice: Spark's own JSON of a plan writes some parts out once a level, which doubles with each.
   */
  public String contents(Object plan) {
    StringBuilder found = new StringBuilder();
    Map seen = new IdentityHashMap();
    ArrayDeque todo = new ArrayDeque();
    todo.add(plan);
    while (!todo.isEmpty()) {
      Object part = todo.pop();
      if (part instanceof String || part instanceof UTF8String) {
        if (part.toString().contains("${")) {
          found.append("substitution in\n");
        }
      } else if (seen.put(part, part) == null) {
        if (part instanceof TreeNode) {
          node((TreeNode) part, found, todo);
        }
        open(part, todo);
      }
    }
    return found.toString();
  }

  private void node(TreeNode node, StringBuilder found, ArrayDeque todo) {
    found.append(node.getClass().getName()).append('\n');
    put(node.children(), todo);
    put(node.innerChildren(), todo);
    if (node instanceof PlanExpression) {
      todo.push(((PlanExpression) node).plan());
    }
    if (node instanceof UnresolvedRelation) {
      found.append("relation ").append(((UnresolvedRelation) node).multipartIdentifier().mkString(", ").replace('\n', ' ')).append('\n');
    }
    if (node instanceof UnresolvedFunction) {
      UnresolvedFunction call = (UnresolvedFunction) node;
      String name = ((String) call.nameParts().last()).toLowerCase();
      if (name.equals("window") && !(windows(call) <= MOST_WINDOWS)) {
        found.append("size window\n");
      }
      if ((name.equals("lpad") || name.equals("rpad")) && !padded(call)) {
        found.append("size ").append(name).append('\n');
      }
    }
  }

  private void open(Object part, ArrayDeque todo) {
    if (part instanceof Iterable) {
      put((Iterable) part, todo);
    } else if (part instanceof Product) {
      for (Iterator i = ((Product) part).productIterator(); i.hasNext();) {
        Object inner = i.next();
        if (inner != null) {
          todo.push(inner);
        }
      }
    }
  }

  private void put(Iterable parts, ArrayDeque todo) {
    for (Iterator i = parts.iterator(); i.hasNext();) {
      Object inner = i.next();
      if (inner != null) {
        todo.push(inner);
      }
    }
  }

  private boolean padded(UnresolvedFunction call) {
    if (call.arguments().length() < 2 || !(call.arguments().apply(1) instanceof Literal)) {
      return false;
    }
    Object length = ((Literal) call.arguments().apply(1)).value();
    return length instanceof Integer && ((Integer) length).intValue() <= MOST_PADDED;
  }

  private double windows(UnresolvedFunction call) {
    int count = call.arguments().length();
    if (count < 2 || count > 4) {
      return Double.POSITIVE_INFINITY;
    }
    double length = microseconds(call.arguments().apply(1));
    double slide = count == 2 ? length : microseconds(call.arguments().apply(2));
    return slide > 0 ? length / slide : Double.POSITIVE_INFINITY;
  }

  private double microseconds(Object argument) {
    if (!(argument instanceof Literal) || !(((Literal) argument).value() instanceof UTF8String)) {
      return Double.NaN;
    }
    CalendarInterval interval = IntervalUtils.stringToInterval((UTF8String) ((Literal) argument).value());
    return interval.months == 0 ? interval.days * 86400e6 + interval.microseconds : Double.NaN;
  }

  /**
   * Nodes of a parsed or analysed plan when every use of a WITH query is written out, as the optimiser will do.
   * Infinite when questions are nested deeper than anybody asks: the optimiser's memory grows with each level until
   * the machine ends.
   */
  public double writtenOut(QueryPlan plan) {
    Map queries = new HashMap();
    return size(plan, queries, 0);
  }

  private double size(QueryPlan plan, Map queries, int depth) {
    double total = 1;
    if (plan instanceof View) {
      return total;
    }
    if (plan instanceof CTERelationRef) {
      Double known = (Double) queries.get(Long.valueOf(((CTERelationRef) plan).cteId()));
      return known == null ? total : total + known.doubleValue();
    }
    if (plan instanceof UnresolvedRelation) {
      Double known = (Double) queries.get(((UnresolvedRelation) plan).tableName().toLowerCase());
      return known == null ? total : total + known.doubleValue();
    }
    if (plan instanceof UnresolvedWith) {
      Map own = new HashMap(queries);
      for (Iterator i = ((UnresolvedWith) plan).cteRelations().iterator(); i.hasNext();) {
        Product query = (Product) i.next();
        own.put(((String) query.productElement(0)).toLowerCase(), Double.valueOf(size((QueryPlan) query.productElement(1), own, depth)));
      }
      return total + size(((UnresolvedWith) plan).child(), own, depth);
    }
    if (plan instanceof WithCTE) {
      // Definitions stand in the order in which they use each other, and before the query that uses them.
      for (Iterator i = ((WithCTE) plan).cteDefs().iterator(); i.hasNext();) {
        CTERelationDef query = (CTERelationDef) i.next();
        queries.put(Long.valueOf(query.id()), Double.valueOf(size(query, queries, depth)));
      }
      return total + size(((WithCTE) plan).plan(), queries, depth);
    }
    for (Iterator i = plan.children().iterator(); i.hasNext();) {
      total += size((QueryPlan) i.next(), queries, depth);
    }
    for (Iterator i = plan.expressions().iterator(); i.hasNext();) {
      total += size((Expression) i.next(), queries, depth);
    }
    return total;
  }

  private double size(Expression expression, Map queries, int depth) {
    double total = 1;
    if (expression instanceof PlanExpression) {
      if (depth >= MOST_NESTED) {
        return Double.POSITIVE_INFINITY;
      }
      total += size((QueryPlan) ((PlanExpression) expression).plan(), queries, depth + 1);
    }
    for (Iterator i = expression.children().iterator(); i.hasNext();) {
      total += size((Expression) i.next(), queries, depth);
    }
    return total;
  }
}
